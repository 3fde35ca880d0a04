/* See scenarios.h. A row's last word, MET or OPEN, says whether its bar is met today: those that are MET are the short form in scripts/check. */
#include "tests/sim/scenarios.h"

#define MINUTE_S 60.0
#define BUCKET(per_min, depth) {.kind = QUOTA_BUCKET, .limit = (per_min), .burst = (depth), .window_s = MINUTE_S, .nominal_s = MINUTE_S}
#define TOKEN_BUCKET(per_min, depth) {.kind = QUOTA_BUCKET, .is_tokens = true, .limit = (per_min), .burst = (depth), .window_s = MINUTE_S, .nominal_s = MINUTE_S}
#define FIXED(count) {.kind = QUOTA_FIXED, .limit = (count), .window_s = MINUTE_S, .nominal_s = MINUTE_S}
#define FIXED_TOKENS(count) {.kind = QUOTA_FIXED, .is_tokens = true, .limit = (count), .window_s = MINUTE_S, .nominal_s = MINUTE_S}
#define FIRST(count, seconds) {.kind = QUOTA_FIXED, .starts_at_first = true, .limit = (count), .window_s = (seconds), .nominal_s = (seconds)}
#define DAY(count, seconds) {.kind = QUOTA_FIXED, .starts_at_first = true, .is_day = true, .limit = (count), .window_s = (seconds), .nominal_s = (seconds)}
#define SLIDING(count, seconds) {.kind = QUOTA_SLIDING, .limit = (count), .window_s = (seconds), .nominal_s = (seconds)}
#define SLIDING_ALL(count, seconds) {.kind = QUOTA_SLIDING, .counts_refused = true, .limit = (count), .window_s = (seconds), .nominal_s = (seconds)}

#define QUOTAS(...) .quotas = {__VA_ARGS__}
#define NO_QUOTA .quotas = {{.kind = QUOTA_BUCKET}}

#define HALVED_THEN_FOURFOLD .changes = {{200, 0.5}, {600, 4}}
#define KNEE(calls, most, power) .bears = BEARS_KNEE, .knee = (calls), .hard = (most), .exponent = (power)
#define FIFO(workers, waiting) .bears = BEARS_FIFO, .knee = (workers), .hard = (workers) + (waiting)
#define OUTAGE(from, to) .outage_from_s = (from), .outage_to_s = (to)
#define STRAGGLERS .straggler_share = 0.02, .straggler_factor = 10
#define LATENCY(median, deviation) .median_s = (median), .sigma = (deviation)
#define OTHER(from, to, per_s) .other_from_s = (from), .other_to_s = (to), .other_per_s = (per_s)
#define FOR_EVER 1e9

#define NO_HINTS .hints = HINT_NONE
#define HINTS .hints = HINT_FULL
#define AT_20 .phase_s = 20
#define ANY_PHASE .phase_s = -1
#define WORST(least, most) .bar = {.ratio = (least), .refused = (most)}
#define WORST_AND(least, most, ...) .bar = {.ratio = (least), .refused = (most), __VA_ARGS__}
#define PLAIN .bar = {.ratio = 0.95, .is_median = true, .refused = -1, .wasted_share = 0.02}
#define UNLISTED .bar = {.ratio = 0.8, .refused = -1}
#define NO_BAR .bar = {.refused = -1}
#define MET .is_met = true
#define OPEN .is_met = false

const struct scenario scenarios[] = {
    {"P1", "bucket 600 a minute, burst 10", {QUOTAS(BUCKET(600, 10))}, 2000, NO_HINTS, AT_20, WORST(0.96, 30), MET},
    {"P2", "bucket 300, burst 300", {QUOTAS(BUCKET(300, 300))}, 2000, NO_HINTS, AT_20, WORST(0.97, 55), MET},
    {"P3", "fixed window 300", {QUOTAS(FIXED(300))}, 2000, NO_HINTS, AT_20, WORST(0.95, 60), MET},
    {"P3h", "the same, with hints", {QUOTAS(FIXED(300))}, 2000, HINTS, AT_20, WORST(0.95, 32), MET},
    {"P4", "sliding window 300", {QUOTAS(SLIDING(300, 60))}, 2000, NO_HINTS, AT_20, WORST(0.95, 50), MET},
    {"P4h", "the same, with hints", {QUOTAS(SLIDING(300, 60))}, 2000, HINTS, AT_20, WORST(0.95, 32), MET},
    {"P5", "sliding 300, refusals counted", {QUOTAS(SLIDING_ALL(300, 60))}, 2000, NO_HINTS, AT_20, WORST(0.91, 65), MET},
    {"P6", "fixed 15, with hints", {QUOTAS(FIXED(15))}, 400, HINTS, AT_20, WORST(0.94, 20), MET},
    {"P7", "1000 calls and 500k tokens, with hints", {QUOTAS(FIXED(1000), FIXED_TOKENS(500000)), .mean_tokens = 2000}, 2000, HINTS, AT_20, WORST(0.93, 25), MET},
    {"P8", "slower above 24 at once, 64 at most", {NO_QUOTA, KNEE(24, 64, 1.25)}, 2000, NO_HINTS, AT_20, WORST(0.86, 6), MET},
    {"P9a", "16 workers, 32 waiting", {NO_QUOTA, FIFO(16, 32)}, 2000, NO_HINTS, AT_20, WORST(0.97, 5), MET},
    {"P9b", "20 at most", {NO_QUOTA, KNEE(20, 20, 1)}, 2000, NO_HINTS, AT_20, WORST(0.95, 16), MET},
    {"P10", "sliding 300, then 150, then 600", {QUOTAS(SLIDING(300, 60)), HALVED_THEN_FOURFOLD}, 6000, NO_HINTS, AT_20, WORST_AND(0.89, 90, .check = CHECK_RISE), MET},
    {"P11", "bucket 600, 503 for ten minutes", {QUOTAS(BUCKET(600, 60)), OUTAGE(65, 665)}, 2000, NO_HINTS, AT_20, WORST_AND(0.95, 90, .charges_nothing = true, .check = CHECK_RESUME), MET},
    {"P12", "the same, hanging", {QUOTAS(BUCKET(600, 60)), OUTAGE(65, 665), .outage_hangs = true}, 2000, NO_HINTS, AT_20, WORST(0.94, 150), MET},
    {"P13a", "bucket 600, 30 % fail for 2 min", {QUOTAS(BUCKET(600, 60)), .brown_from_s = 60, .brown_to_s = 180, .brown_share = 0.3}, 2000, NO_HINTS, AT_20, WORST(0.86, -1), MET},
    {"P13b", "bucket 600, 0.5 % poisoned", {QUOTAS(BUCKET(600, 60)), .poisoned_share = 0.005}, 2000, NO_HINTS, AT_20, WORST(0.83, -1), MET},
    {"P14", "2 % take ten times as long", {NO_QUOTA, STRAGGLERS}, 400, NO_HINTS, AT_20, WORST_AND(0, -1, .check = CHECK_HEDGE), MET},
    {"P15", "sliding 300, 600 in 2 h, lying hints", {QUOTAS(SLIDING(300, 60), DAY(600, 7200))}, 2000, HINTS, AT_20, WORST_AND(0.92, 80, .charges_nothing = true), MET},
    {"P16", "no quota, 0.3 s, 256 at once", {NO_QUOTA, LATENCY(0.3, 0.2)}, 20000, NO_HINTS, AT_20, WORST(0.8, -1), MET},
    {"P17", "100 assignments, no quota", {NO_QUOTA}, 100, NO_HINTS, AT_20, WORST_AND(0, -1, .check = CHECK_SPEEDUP), MET},
    {"P18a", "P4 with 400, warm", {QUOTAS(SLIDING(300, 60))}, 400, NO_HINTS, AT_20, .is_warm = true, WORST(0, 8), MET},
    {"P18b", "P4, killed at 40 %", {QUOTAS(SLIDING(300, 60))}, 2000, NO_HINTS, AT_20, .kill_share = 0.4, WORST_AND(0, -1, .check = CHECK_FLOW), MET},

    {"q1_bucket300", "five minutes of a bucket 300", {QUOTAS(BUCKET(300, 300))}, 1500, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q2_bucket600", "five minutes of a bucket 600, burst 60", {QUOTAS(BUCKET(600, 60))}, 3000, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q3_fixed60", "five minutes of a window of 60", {QUOTAS(FIXED(60))}, 300, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q4_fixed300", "five minutes of a window of 300", {QUOTAS(FIXED(300))}, 1500, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q5_fixed1000", "five minutes of a window of 1000", {QUOTAS(FIXED(1000))}, 5000, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q6_slide300", "five minutes of a sliding 300", {QUOTAS(SLIDING(300, 60))}, 1500, NO_HINTS, ANY_PHASE, PLAIN, MET},
    {"q7_slide1000", "five minutes of a sliding 1000", {QUOTAS(SLIDING(1000, 60))}, 5000, NO_HINTS, ANY_PHASE, PLAIN, MET},

    {"u1_refused10s", "sliding 300; 100 in 10 s with refusals", {QUOTAS(SLIDING(300, 60), SLIDING_ALL(100, 10))}, 2000, NO_HINTS, ANY_PHASE, UNLISTED, MET},
    {"u2_slowrefusal", "sliding 300, refusals take 1 to 3 s", {QUOTAS(SLIDING(300, 60)), .refusal_low_s = 1, .refusal_high_s = 3}, 2000, NO_HINTS, ANY_PHASE, UNLISTED, MET},
    {"u3_shared", "sliding 300, another client takes 60 of it", {QUOTAS(SLIDING(300, 60)), OTHER(0, FOR_EVER, 1), .other_is_served = true}, 2000, NO_HINTS, ANY_PHASE, UNLISTED, MET},

    {"a1_bucket300", "bucket 300, burst 300", {QUOTAS(BUCKET(300, 300))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"a2_rps10", "bucket 600, burst 10", {QUOTAS(BUCKET(600, 10))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"a3_slow20", "bucket 20, burst 1", {QUOTAS(BUCKET(20, 1))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b1_fixed300", "fixed 300", {QUOTAS(FIXED(300))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b2_first300", "300 from the first call", {QUOTAS(FIRST(300, 60))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b3_fixed15", "fixed 15", {QUOTAS(FIXED(15))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b4_50per10s", "50 in 10 s from the first call", {QUOTAS(FIRST(50, 10))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b5_1000perh", "1000 an hour from the first call", {QUOTAS(FIRST(1000, 3600))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"b6_slowrej", "fixed 300, refusals take 0.3 to 0.7 s", {QUOTAS(FIXED(300)), .refusal_low_s = 0.3, .refusal_high_s = 0.7}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"c1_slide300", "sliding 300", {QUOTAS(SLIDING(300, 60))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"c2_slide_cntrej", "sliding 300, refusals counted", {QUOTAS(SLIDING_ALL(300, 60))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"d1_tpm", "fixed 1000 and 500k tokens", {QUOTAS(FIXED(1000), FIXED_TOKENS(500000)), .mean_tokens = 2000}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"d2_tpm_bucket", "buckets 1000 and 500k tokens", {QUOTAS(BUCKET(1000, 100), TOKEN_BUCKET(500000, 50000)), .mean_tokens = 2000}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"e1_knee24", "slower above 24 at once", {NO_QUOTA, KNEE(24, 64, 1.25)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"e2_fifo16", "16 workers, 32 waiting", {NO_QUOTA, FIFO(16, 32)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"e3_hard20", "20 at most", {NO_QUOTA, KNEE(20, 20, 1)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"f1_fixed_hd", "fixed 300, then 150, then 600", {QUOTAS(FIXED(300)), HALVED_THEN_FOURFOLD}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"f2_bucket_hd", "bucket 300, then 150, then 600", {QUOTAS(BUCKET(300, 30)), HALVED_THEN_FOURFOLD}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"f3_slide_hd", "sliding 300, then 150, then 600", {QUOTAS(SLIDING(300, 60)), HALVED_THEN_FOURFOLD}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"g1_out503", "bucket 600, 503 for ten minutes", {QUOTAS(BUCKET(600, 60)), OUTAGE(65, 665)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"g2_outhang", "the same, hanging", {QUOTAS(BUCKET(600, 60)), OUTAGE(65, 665), .outage_hangs = true}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"g3_brownout", "bucket 600, 30 % fail for 2 min", {QUOTAS(BUCKET(600, 60)), .brown_from_s = 60, .brown_to_s = 180, .brown_share = 0.3}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"g4_poison", "bucket 600, 0.5 % poisoned", {QUOTAS(BUCKET(600, 60)), .poisoned_share = 0.005}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"h1_tail", "1 % fail, 2 % take ten times as long", {NO_QUOTA, .fault_share = 0.01, STRAGGLERS}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"h2_tail_q600", "the same, sliding 600", {QUOTAS(SLIDING(600, 60)), .fault_share = 0.01, STRAGGLERS}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"i1_fast", "no quota, 0.3 s", {NO_QUOTA, LATENCY(0.3, 0.2)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"j1_daily", "sliding 300, 600 in 2 h", {QUOTAS(SLIDING(300, 60), DAY(600, 7200))}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"k1_q2000slow", "sliding 2000, 5 s a call", {QUOTAS(SLIDING(2000, 60)), LATENCY(5, 0.5)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
    {"l1_shared", "sliding 300, another client for a while", {QUOTAS(SLIDING(300, 60)), OTHER(150, 400, 2.5)}, 2000, NO_HINTS, ANY_PHASE, NO_BAR, OPEN},
};

const size_t scenario_count = ARRAY_COUNT(scenarios);
