/* A user of Algorithm 1 on a microcontroller: its trained actor, C99 in single precision, without allocation, without
 * static data but its weights, and with nothing but the standard library's mathematics. actor.py is the same in NumPy. */
#include "actor.h"

#include <math.h>

/* CONSTANTS */

typedef struct {
    int inputs, outputs;
    const float *weight, *bias; /* weight: one row per output */
} layer;

static const layer LAYERS[] = {
/* LAYERS */
};

static float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* One layer; the last one and those of the hidden layers differ in what they apply. */
static void apply(const layer *l, int is_last, const float *x, float *y)
{
    int i, j;
    for (i = 0; i < l->outputs; i++) {
        float sum = l->bias[i];
        for (j = 0; j < l->inputs; j++)
            sum += l->weight[i * l->inputs + j] * x[j];
        y[i] = is_last ? sigmoid(sum) : ACTIVATION(sum);
    }
}

#if PHASE_REFERENCE
/* Rotates a channel, so that its first entry is real. */
static void turn(float *h)
{
    const float size = hypotf(h[0], h[ANTENNAS]);
    const float re = size > 0.0f ? h[0] / size : 1.0f, im = size > 0.0f ? h[ANTENNAS] / size : 0.0f;
    int i;
    for (i = 0; i < ANTENNAS; i++) {
        const float real = h[i];
        h[i] = real * re + h[ANTENNAS + i] * im;
        h[ANTENNAS + i] = h[ANTENNAS + i] * re - real * im;
    }
}
#endif

/* Its numbers in [0, 1] as an allocation. */
static void allocate(const float *u, float workload, scattermec_allocation *a)
{
#if ENTRIES == 6
    a->t_active = u[0] * SLOT_DURATION;
    a->t_passive = u[1] * SLOT_DURATION;
    a->t_local = u[2] * SLOT_DURATION;
    a->l_active = u[3] * workload;
    a->l_passive = u[4] * workload;
    a->l_local = u[5] * workload;
#else
    const float time = u[0] * SLOT_DURATION;
    const float most_local = fminf(workload, LOCAL_RATE * SLOT_DURATION);
    float offloaded;
    a->l_local = (1.0f - u[2]) * most_local;
    offloaded = workload - a->l_local;
    a->t_active = u[1] * time;
    a->t_passive = time - a->t_active;
    a->t_local = LOCAL_RATE > 0.0f ? a->l_local / LOCAL_RATE : 0.0f;
    a->l_active = u[3] * offloaded;
    a->l_passive = offloaded - a->l_active;
#endif
}

int scattermec_act(const float own[2 + 2 * SCATTERMEC_ANTENNAS], float share,
                   const float entry[SCATTERMEC_ENTRIES], scattermec_allocation *allocation)
{
    const int inputs = 3 + 2 * ANTENNAS + ENTRIES, layers = (int)(sizeof LAYERS / sizeof LAYERS[0]);
    const scattermec_allocation nothing = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    float x[WIDEST], y[WIDEST];
    int i, k;
    *allocation = nothing;
    for (i = 0; i < 2 * ANTENNAS; i++)
        x[2 + i] = own[2 + i] / PATH_GAIN;
#if PHASE_REFERENCE
    turn(x + 2);
#endif
    x[0] = MEAN_WORKLOAD > 0.0f ? own[0] / MEAN_WORKLOAD : own[0];
    x[1] = own[1] / BATTERY_CAPACITY;
    x[2 + 2 * ANTENNAS] = share;
    for (i = 0; i < ENTRIES; i++)
        x[3 + 2 * ANTENNAS + i] = entry[i];
    for (i = 0; i < inputs; i++)
        if (!isfinite(x[i]))
            return -1;
    if (own[0] < 0.0f || own[1] < 0.0f)
        return -1;
    for (k = 0; k < layers; k++) {
        apply(&LAYERS[k], k == layers - 1, x, y);
        for (i = 0; i < LAYERS[k].outputs; i++)
            x[i] = y[i];
    }
    allocate(x, own[0], allocation);
    return 0;
}
