// SPDX-License-Identifier: MIT
// A channel's queue: rings of two slots, pools of a few blocks.

#include "tests/model/support.h"

static void send_3(struct model_own *own)
{
	support_send_2(own);
	(void)support_send(own, &own->ring[0], MESSAGE(own - model_arena.own, 3));
}

static void receive_3(struct model_own *own)
{
	support_receive_2(own);
	support_receive_1(own);
}

MODEL_SCENARIO(one_to_one) = {
        .name = "ring/one_to_one",
        .intent = "three messages through two slots and two blocks arrive whole and in order",
        .processes = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {send_3, receive_3},
        .audit = support_audit_all,
};

MODEL_SCENARIO(two_producers) = {
        .name = "ring/two_producers",
        .intent = "two producers publish every message once; each one's stay in order",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_2, support_send_1, support_receive_2},
        .audit = support_audit_all,
};

MODEL_SCENARIO(two_consumers) = {
        .name = "ring/two_consumers",
        .intent = "no message is received twice",
        .processes = 3,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_2, support_receive_1, support_receive_2},
        .audit = support_audit_all,
};

MODEL_SCENARIO(capacity_one) = {
        .name = "ring/capacity_one",
        .intent = "a channel of one message, two producers: what is refused isn't sent",
        .processes = 3,
        .channels = 1,
        .zones = 2,
        .zone = 1,
        .setup = support_open_1,
        .run = {support_send_2, support_send_1, support_receive_1},
        .audit = support_audit_all,
};

MODEL_SCENARIO(killed_producer) = {
        .name = "ring/killed_producer",
        .intent = "what a killed producer had published arrives, all else comes back",
        .processes = 3,
        .killable = 1,
        .kills = 1,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_2, support_receive_2, support_reap},
        .audit = support_audit_all,
};

MODEL_SCENARIO(killed_consumer) = {
        .name = "ring/killed_consumer",
        .intent = "only the message that a killed consumer held is lost",
        .processes = 3,
        .killable = 2,
        .kills = 1,
        .consumers = 2,
        .channels = 1,
        .zones = 1,
        .zone = 2,
        .setup = support_open_2,
        .run = {support_send_2, support_receive_1, support_reap},
        .audit = support_audit_all,
};
