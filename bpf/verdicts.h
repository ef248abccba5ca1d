/* The verdicts of verdicts.def as an enum, and what each does with its packet.
 */
#pragma once

#define VERDICT(number, name, action, help) name = number,
#define RETIRED(number)
enum verdict {
#include "verdicts.def"
};
#undef VERDICT

#define PASS 0
#define DROP 1
#define ANSWER 2

/* The action of a verdict; a constant where the verdict is one. */
static __always_inline int verdict_action(enum verdict verdict)
{
	switch (verdict) {
#define VERDICT(number, name, action, help)                                                                            \
	case name:                                                                                                     \
		return action;
#include "verdicts.def"
#undef VERDICT
	}
	return PASS;
}
#undef RETIRED
