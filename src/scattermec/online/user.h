/* The users' part of price-net on a microcontroller: see user.c. Times in s, work in kbit, energy in mJ. */
#ifndef SCATTERMEC_USER_H
#define SCATTERMEC_USER_H

/* The access point's message to the user about the frame. */
typedef struct {
    float t_passive;    /* s: time of its beam */
    float passive_rate; /* kbit/s of its reflection during that time */
    float harvest;      /* mJ that it will harvest */
} scattermec_message;

/* The user's allocation. */
typedef struct {
    float t_active, t_passive, t_local; /* s */
    float l_active, l_passive, l_local; /* kbit */
    float shortfall;                    /* kbit that the energy does not suffice for */
} scattermec_answer;

/* Answers a message from the user's own data alone: work in kbit, stored energy in mJ, and the channel gain
 * ||h||^2. Times outside the slot and negative numbers in the message count as the nearest possible value.
 * Returns 0; or -1, with an answer of zeros, for a number that is not finite or a negative one of the user's own. */
int scattermec_respond(const scattermec_message *message, float workload, float battery, float channel_gain,
                       scattermec_answer *answer);

/* The same for a user that repairs, when its own slot comes: what it has measured so far (its beam's time, the rate of
 * its reflection, and what it has harvested before its slot), and what the access point has promised for later, in mJ;
 * 0 if that is not known. */
int scattermec_repair(const scattermec_message *measured, float promise, float workload, float battery,
                      float channel_gain, scattermec_answer *answer);

#endif
