// A phone in a web page: JsSIP, driven by what browser.py evaluates.  What happens is kept in
// `events`, in order, for it to wait for.
import * as JsSIP from "jssip";

const phone = {events: [], sessions: [], sounds: []};

function note(what, detail = "") {
  phone.events.push({what, detail: String(detail)});
}

// The strongest frequency of a stream, and how strong it is; a stream sounds only where an element
// plays it.
function listen(stream) {
  const element = new Audio();
  element.srcObject = stream;
  element.play();
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  analyser.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(analyser);
  phone.sounds.push({element, context, analyser});
}

phone.heard = () => {
  const sound = phone.sounds.at(-1);
  if (!sound) {
    return {hertz: 0, level: -200};
  }
  const bins = new Float32Array(sound.analyser.frequencyBinCount);
  sound.analyser.getFloatFrequencyData(bins);
  let best = 1;
  for (let i = 2; i < bins.length; i++) {
    if (bins[i] > bins[best]) {
      best = i;
    }
  }
  return {hertz: best * sound.context.sampleRate / sound.analyser.fftSize, level: bins[best]};
};

function watch(session) {
  phone.sessions.push(session);
  session.on("progress", () => note("progress"));
  session.on("confirmed", () => note("confirmed"));
  session.on("ended", event => note("ended", `${event.originator}: ${event.cause}`));
  session.on("failed", event => note("failed", `${event.originator}: ${event.cause}`));
  const attach = connection =>
    connection.addEventListener("track", event => listen(event.streams[0]));
  if (session.connection) {
    attach(session.connection);
  }
  session.on("peerconnection", event => attach(event.peerconnection));
}

const options = {
  mediaConstraints: {audio: true, video: false},
  pcConfig: {iceServers: [], rtcpMuxPolicy: "require"},
};

phone.start = async (url, user, password, realm, more = {}) => {
  (await navigator.mediaDevices.getUserMedia(options.mediaConstraints))
    .getTracks().forEach(track => track.stop());
  phone.socket = new JsSIP.WebSocketInterface(url);
  phone.ua = new JsSIP.UA({sockets: [phone.socket], uri: `sip:${user}@${realm}`, password,
    session_timers: false, connection_recovery_min_interval: 1, ...more});
  phone.ua.on("connected", () => note("connected"));
  phone.ua.on("disconnected", () => note("disconnected"));
  phone.ua.on("registered", event => note("registered", event.response.getHeader("Contact")));
  phone.ua.on("registrationFailed", event => note("registrationFailed", event.cause));
  phone.ua.on("newMessage", event => {
    if (event.originator === "remote") {
      note("message", event.request.body);
    }
  });
  phone.ua.on("newRTCSession", event => {
    if (event.originator === "remote") {
      note("ringing", event.request.from.uri.toString());
    }
    watch(event.session);
  });
  phone.ua.start();
};

phone.call = target => void phone.ua.call(target, options);
phone.answer = () => phone.sessions.at(-1).answer(options);
phone.hangUp = () => phone.sessions.at(-1).terminate();
phone.message = (target, text) => void phone.ua.sendMessage(target, text);
phone.gruu = () => String(phone.ua.contact.pub_gruu || "");

// What protects the sound: the state of DTLS, and how many bytes came.
phone.protection = async () => {
  let state = "", received = 0;
  (await phone.sessions.at(-1).connection.getStats()).forEach(report => {
    if (report.type === "transport") {
      state = report.dtlsState;
    }
    if (report.type === "inbound-rtp") {
      received += report.bytesReceived;
    }
  });
  return {state, received};
};

globalThis.phone = phone;
