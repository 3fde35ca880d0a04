/* See allocator.h. Called by answer.c for every good answer. */
#include "sim/allocator.h"

#include "sim/chance.h"

struct score {
    bool has_room, is_near, is_specialist;
    enum place place; /* in which it is near */
    double load;      /* held / capacity */
    uint64_t tie;
};

/* Does the assignment need somebody who recovers money? */
static bool needs_recovery(struct text_span status)
{
    static const char *const words[] = {"debt",    "not paid", "unpaid",     "overdue",
                                        "default", "arrears",  "delinquent", "past due"};
    char text[256];
    size_t len = (size_t)min_i64((int64_t)status.len, sizeof text - 1);
    if (status.at == NULL)
        return false;
    memcpy(text, status.at, len);
    text[len] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(words); i++)
        if (strcasestr(text, words[i]) != NULL)
            return true;
    return false;
}

static struct text_span place_of(const struct candidate *candidate, enum place place)
{
    if (candidate->own.places[place].at != NULL || candidate->roster == NULL)
        return candidate->own.places[place];
    return candidate->roster->places[place];
}

static bool is_same(struct text_span a, struct text_span b)
{
    return a.at != NULL && b.at != NULL && a.len > 0 && a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
}

static struct score score_of(const struct prompt_reader *prompt, const struct candidate *candidate,
                             const char *speciality)
{
    struct score score = {.has_room = candidate->free != 0 &&
                                      (candidate->capacity < 0 || fmax(candidate->held, 0) < candidate->capacity)};
    for (size_t i = 0; i < PLACE_COUNT && !score.is_near; i++)
        if (is_same(prompt->assignment.places[i], place_of(candidate, (enum place)i))) {
            score.is_near = true;
            score.place = (enum place)i;
        }
    struct text_span own = candidate->own.speciality.at != NULL || candidate->roster == NULL
                               ? candidate->own.speciality
                               : candidate->roster->speciality;
    score.is_specialist =
        own.at != NULL && own.len == strlen(speciality) && strncasecmp(own.at, speciality, own.len) == 0;
    double held = fmax(candidate->held, 0);
    score.load = candidate->capacity > 0 ? held / candidate->capacity : held / 1000;
    score.tie = chance_hash(prompt->key.at ? prompt->key.at : "", prompt->key.len) ^
                chance_hash(candidate->id.at, candidate->id.len);
    score.tie = chance_mix(score.tie);
    return score;
}

static bool is_better(const struct score *a, const struct score *b)
{
    if (a->has_room != b->has_room)
        return a->has_room;
    if (a->is_near != b->is_near)
        return a->is_near;
    if (a->is_specialist != b->is_specialist)
        return a->is_specialist;
    if (a->load != b->load)
        return a->load < b->load;
    return a->tie < b->tie;
}

static void add_load(struct buf *reason, const struct candidate *candidate)
{
    if (candidate->held < 0)
        return;
    buf_add_str(reason, "; least loaded of these, holds ");
    buf_add_i64(reason, (int64_t)candidate->held);
    if (candidate->capacity >= 0) {
        buf_add_str(reason, " of ");
        buf_add_i64(reason, (int64_t)candidate->capacity);
    }
}

static void explain(const struct prompt_reader *prompt, const struct candidate *candidate, const struct score *score,
                    const char *speciality, struct buf *reason)
{
    if (score->is_near) {
        struct text_span place = prompt->assignment.places[score->place];
        buf_add_str(reason, "same ");
        buf_add_str(reason, place_names[score->place]);
        buf_add_str(reason, " (");
        buf_add(reason, place.at, (size_t)min_i64((int64_t)place.len, 80));
        buf_add_str(reason, ")");
    } else {
        buf_add_str(reason, "no open agent nearer");
    }
    if (score->is_specialist) {
        buf_add_str(reason, ", ");
        buf_add_str(reason, speciality);
        if (prompt->status.at != NULL) {
            buf_add_str(reason, " for \"");
            buf_add(reason, prompt->status.at, (size_t)min_i64((int64_t)prompt->status.len, 80));
            buf_add_char(reason, '"');
        }
    }
    add_load(reason, candidate);
}

void allocator_choose(const struct prompt_reader *prompt, bool is_second, struct allocation *ret_allocation)
{
    const char *speciality = needs_recovery(prompt->status) ? "recovery" : "servicing";
    const struct candidate *best = NULL, *second = NULL;
    struct score best_score = {0}, second_score = {0};
    buf_reset(&ret_allocation->reason);
    ret_allocation->agent_id = (struct text_span){NULL, 0};
    ret_allocation->confidence = 0;
    for (size_t i = 0; i < prompt->candidate_count; i++) {
        struct score score = score_of(prompt, &prompt->candidates[i], speciality);
        bool is_first = best == NULL || is_better(&score, &best_score);
        if (is_first) {
            second = best;
            second_score = best_score;
            best = &prompt->candidates[i];
            best_score = score;
        } else if (second == NULL || is_better(&score, &second_score)) {
            second = &prompt->candidates[i];
            second_score = score;
        }
    }
    if (best == NULL) {
        buf_add_str(&ret_allocation->reason, "the prompt holds no candidates");
        return;
    }
    if (is_second && second != NULL && second_score.has_room && second_score.is_near == best_score.is_near) {
        best = second;
        best_score = second_score;
    }
    ret_allocation->agent_id = best->id;
    ret_allocation->confidence = 0.6 + (best_score.is_near ? 0.25 : 0) + (best_score.is_specialist ? 0.1 : 0);
    explain(prompt, best, &best_score, speciality, &ret_allocation->reason);
}

void allocation_clear(struct allocation *allocation)
{
    buf_clear(&allocation->reason);
}
