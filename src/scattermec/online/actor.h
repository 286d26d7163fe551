/* A user of Algorithm 1 on a microcontroller: see actor.c. Times in s, work in kbit, energy in mJ. */
#ifndef SCATTERMEC_ACTOR_H
#define SCATTERMEC_ACTOR_H

/* SIZES */

/* The user's allocation. */
typedef struct {
    float t_active, t_passive, t_local; /* s */
    float l_active, l_passive, l_local; /* kbit */
} scattermec_allocation;

/* Acts on what the user observes, and on the access point's message: the gain of its beam as a share of the largest
 * possible, and its own entry of the estimate, numbers in [0, 1] as its actions are. `own` is its work in kbit, its
 * stored energy in mJ, and the real and then the imaginary parts of its channel. Returns 0; or -1, with an
 * allocation of zeros, for a number that is not finite or negative work or energy. */
int scattermec_act(const float own[2 + 2 * SCATTERMEC_ANTENNAS], float share,
                   const float entry[SCATTERMEC_ENTRIES], scattermec_allocation *allocation);

#endif
