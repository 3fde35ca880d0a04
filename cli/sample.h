/* N rows out of all that come, chosen by a seed and their keys alone: the same file, seed and N give the same rows wherever and however often it is read.
 * Each key gets a number from the SHA-256 of seed and key, and those with the lowest numbers are taken: bottom-k sampling (E. Cohen, H. Kaplan 2007,
 * "Summarizing data using bottom-k sketches", PODC), every set of N keys being as likely as any other. Memory holds N rows. Of a key that comes twice the first row counts. One thread. */
#ifndef GALLOC_CLI_SAMPLE_H
#define GALLOC_CLI_SAMPLE_H

#include "cli/input.h"

struct sample;

struct sample *sample_new(int64_t size, int64_t seed); /* size from 1 */
void sample_free(struct sample *sample);               /* NULL is fine */
void sample_add(struct sample *sample, const struct input_row *row);
int64_t sample_seen(const struct sample *sample);      /* different keys so far */
/* Hands the rows on in the order in which they came. 0, or the first negative result of `take`. */
int sample_play(struct sample *sample, int (*take)(void *arg, const struct input_row *row, struct galloc_error *error), void *arg, struct galloc_error *error) MUST_CHECK;

#endif
