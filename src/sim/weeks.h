/*
 * Weeks: what is left of proofs when the hour is over, in secure seeds.
 *
 * Weeks go by, for the machine alone: it slept, was killed or had no power.  Then somebody on the
 * way offers in clear alone what has no TLSA records, and a phone of ours writes to each such
 * domain of which the settings demand nothing. The judge: one that has proven itself in the last
 * thirty days (core/policy) is not asked in clear (sim/zone), and one that has not is, or nobody
 * would reach it again.
 */
#pragma once

struct sim;

void weeks_pass(struct sim *sim);
void weeks_judge(struct sim *sim);
