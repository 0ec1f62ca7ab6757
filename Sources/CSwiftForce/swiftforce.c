#include "swiftforce.h"
/* SwiftPM needs at least one source file in a C target. This one also checks that the header is
   self-contained. */
