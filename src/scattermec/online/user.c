/* The users' part of price-net on a microcontroller: C99 in single precision, without allocation, static data or
 * anything but the standard library's mathematics. user.py is the same in Python, with explanations. */
#include "user.h"

#include <float.h>
#include <math.h>

/* CONSTANTS */

typedef struct {
    float snr;                          /* per mW of transmit power */
    float preferred, thrifty, fastest;  /* active rates in kbit/s */
    float budget;                       /* mJ that it may spend */
    float l_passive;                    /* kbit that it reflects */
    float left, least;                  /* kbit left to send or compute; that it must send */
    float longest;                      /* s available for sending */
} task;

static float limited(float value, float low, float high)
{
    return value < low ? low : value > high ? high : value;
}

/* The conditions of the preferred and of the thrifty rate at y = rate / PER_NAT; both fall in y. */
static float spared(const task *t, float y)
{
    return expm1f(y) + CIRCUIT_POWER * t->snr - y * expf(y);
}

static float gained(const task *t, float y)
{
    const float worth = LOCAL_ENERGY * t->snr * PER_NAT;
    return ACTIVE_RECEIVE_POWER * (worth - expf(y)) + MEC_ENERGY * PER_NAT * spared(t, y);
}

/* The zero of a falling function in [0, LARGEST_EXPONENT]; 0 if it is never positive. */
static float last_positive(float (*condition)(const task *, float), const task *t)
{
    float low = 0.0f, high = LARGEST_EXPONENT;
    int k;
    for (k = 0; k < BISECTIONS; k++) {
        const float middle = 0.5f * (low + high);
        if (condition(t, middle) > 0.0f)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Time and work to send: an effort up to 1 adds time at the preferred rate, up to 2 a higher rate. */
static void plan(const task *t, float effort, float *time, float *work)
{
    *time = fminf(effort, 1.0f) * t->longest;
    *work = t->least;
    if (t->preferred > t->thrifty) {
        const float rate = t->preferred + fmaxf(effort - 1.0f, 0.0f) * (t->fastest - t->preferred);
        *work = limited(rate * *time, t->least, t->left);
    }
}

/* Energy in mJ that the work needs at an effort. */
static float needed(const task *t, float effort)
{
    float time, work, rest, nats;
    plan(t, effort, &time, &work);
    rest = CIRCUIT_POWER * time + LOCAL_ENERGY * (t->left - work);
    if (work <= 0.0f)
        return rest;
    if (time <= 0.0f)
        return FLT_MAX;
    nats = work / (PER_NAT * time);
    return time * expm1f(fminf(nats, LARGEST_EXPONENT)) / t->snr + rest;
}

/* The least effort whose energy is within the budget; the most if there is none. */
static float least_effort(const task *t)
{
    float low = 0.0f, high = MOST_EFFORT;
    int k;
    if (t->least <= 0.0f && needed(t, 0.0f) <= t->budget)
        return 0.0f;
    for (k = 0; k < BISECTIONS; k++) {
        const float middle = 0.5f * (low + high);
        if (needed(t, middle) > t->budget)
            low = middle;
        else
            high = middle;
    }
    return high;
}

static task task_of(const scattermec_message *message, float workload, float battery, float channel_gain)
{
    const float harvest = fmaxf(message->harvest, 0.0f);
    const float t_passive = limited(message->t_passive, 0.0f, SLOT_DURATION);
    const float most_passive = fminf(fmaxf(message->passive_rate, 0.0f) * t_passive, workload);
    task t;
    float most_local, time;
    t.snr = fmaxf(channel_gain / (1000.0f * NOISE_POWER), LEAST_SNR);
    t.preferred = last_positive(gained, &t) * PER_NAT;
    t.thrifty = last_positive(spared, &t) * PER_NAT;
    t.fastest = fmaxf(logf(fmaxf(LOCAL_ENERGY * t.snr * PER_NAT, 1.0f)) * PER_NAT, t.preferred);
    t.budget = fminf(battery + harvest, BATTERY_CAPACITY) * (1.0f - MARGIN);
    most_local = fminf(t.budget / LOCAL_ENERGY, LOCAL_RATE * SLOT_DURATION);
    t.l_passive = limited(workload - most_local, 0.0f, most_passive);
    /* Not the difference where it is most_local: its rounding could exceed the budget. */
    t.left = t.l_passive < most_passive ? fminf(workload, most_local) : workload - most_passive;
    t.least = fmaxf(t.left - LOCAL_RATE * SLOT_DURATION, 0.0f);
    time = (t.preferred > t.thrifty ? t.left : t.least) / (t.thrifty > 0.0f ? t.thrifty : 1.0f);
    t.longest = fminf(time, SLOT_DURATION - t_passive);
    return t;
}

/* Energy in mJ that is lacking at best; zero or negative if the work can be finished. */
static float lacking_of(const task *t)
{
    const float need = needed(t, MOST_EFFORT);
    return (t->least <= 0.0f ? fminf(need, needed(t, 0.0f)) : need) - t->budget;
}

int scattermec_respond(const scattermec_message *message, float workload, float battery, float channel_gain,
                       scattermec_answer *answer)
{
    const scattermec_answer nothing = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    task t;
    float effort, lacking;
    *answer = nothing;
    if (!isfinite(message->t_passive) || !isfinite(message->passive_rate) || !isfinite(message->harvest))
        return -1;
    if (!isfinite(workload) || !isfinite(battery) || !isfinite(channel_gain))
        return -1;
    if (workload < 0.0f || battery < 0.0f || channel_gain < 0.0f)
        return -1;

    t = task_of(message, workload, battery, channel_gain);
    effort = least_effort(&t);
    answer->t_passive = limited(message->t_passive, 0.0f, SLOT_DURATION);
    plan(&t, effort, &answer->t_active, &answer->l_active);
    answer->l_local = t.left - answer->l_active;
    lacking = effort < MOST_EFFORT ? 0.0f : needed(&t, effort) - t.budget;
    if (lacking > ROUNDING * t.budget) {
        /* A user that cannot finish leaves its slot to its beam: the outcome is an outage either way. */
        answer->t_active = answer->l_active = answer->l_local = 0.0f;
        answer->shortfall = limited(lacking / LOCAL_ENERGY, 0.0f, t.left);
        return 0;
    }
    if (answer->l_active <= 0.0f)
        answer->t_active = 0.0f;
    answer->l_passive = t.l_passive;
    answer->l_local = fminf(answer->l_local, LOCAL_RATE * SLOT_DURATION);
    answer->t_local = LOCAL_RATE > 0.0f ? fminf(answer->l_local / LOCAL_RATE, SLOT_DURATION) : 0.0f;
    return 0;
}

int scattermec_repair(const scattermec_message *measured, float promise, float workload, float battery,
                      float channel_gain, scattermec_answer *answer)
{
    scattermec_message told = *measured;
    const int status = scattermec_respond(measured, workload, battery, channel_gain, answer);
    float least;
    task t;
    if (status != 0 || !isfinite(promise)) {
        told.harvest = NAN; /* the answer of zeros */
        return scattermec_respond(&told, workload, battery, channel_gain, answer);
    }
    t = task_of(measured, workload, battery, channel_gain);
    least = fmaxf(lacking_of(&t), 0.0f) / (1.0f - MARGIN) * (1.0f + ROUNDING);
    told.harvest += fminf(fmaxf(promise, least), BATTERY_CAPACITY);
    return scattermec_respond(&told, workload, battery, channel_gain, answer);
}
