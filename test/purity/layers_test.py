"""Layers only look down: each #include in src/ goes to its own layer or one below it, and no file
above base reaches the system headers that the pure layers must not use.  Argument: the root."""
import pathlib
import re
import sys

# What each layer may include (ARCHITECTURE.md).
BELOW = {
    "base": set(),
    "sip": {"base"},
    "sdp": {"base"},
    "core": {"base", "sip", "sdp"},
    "config": {"base", "sip", "core"},
    "shell": {"base", "sip", "sdp", "core", "config"},
    "sim": {"base", "sip", "sdp", "core"},
    "programs": {"base", "sip", "sdp", "core", "config", "shell"},
}
PURE = {"base", "sip", "sdp", "core"}
PURE_SYSTEM = {"assert.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "emmintrin.h"}
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)


def faults_of(path, layer):
    for quoted, system in INCLUDE.findall(path.read_text()):
        if system and layer in PURE and system not in PURE_SYSTEM:
            yield f"<{system}> in a pure layer"
        if not quoted:
            continue
        target = quoted.split("/")[0]
        if "/" not in quoted or target not in BELOW:
            yield f'"{quoted}" is not named from src/'
        elif target != layer and target not in BELOW[layer]:
            yield f'"{quoted}" looks up or sideways'


def judge(source):
    """Its files, and what is wrong in them."""
    files = sorted(p for p in source.rglob("*") if p.suffix in (".c", ".h"))
    faults = []
    for path in files:
        layer = path.relative_to(source).parts[0]
        if layer not in BELOW:
            faults.append(f"{path}: layer {layer} is unknown")
            continue
        faults += [f"{path}: {fault}" for fault in faults_of(path, layer)]
    return files, faults


def main():
    files, faults = judge(pathlib.Path(sys.argv[1]) / "src")
    for fault in faults:
        print("layers:", fault)
    print(f"{len(files)} files, {len(faults)} faults")
    return 1 if faults or not files else 0


if __name__ == "__main__":
    sys.exit(main())
