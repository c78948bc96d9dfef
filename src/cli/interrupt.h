// Ctrl-C and SIGTERM as something that a loop can ask about, or that stops a server.
#ifndef PN_CLI_INTERRUPT_H
#define PN_CLI_INTERRUPT_H

#include "http/http.h"

// From now on SIGINT and SIGTERM are counted instead of ending the program. With a server, each one is handed
// to pn_http_stop (the first drains, the second ends at once); without, the second signal ends the program.
void interrupt_catch(pn_http *server);
void interrupt_release(void); // back to what the system does; before the server is closed
int interrupt_count(void);    // signals since interrupt_catch

#endif
