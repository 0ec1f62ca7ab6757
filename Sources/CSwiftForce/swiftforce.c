#include "swiftforce.h"
/* SwiftPM builds a C target from at least one source file; this one checks that the header
   stands on its own. */
