// The files of web/, put into the program when it is built (cmake/Embed.cmake).
#ifndef PN_API_DOCS_FILES_H
#define PN_API_DOCS_FILES_H

#include <stddef.h>

extern const unsigned char docs_html[], docs_css[], docs_js[];
extern const size_t docs_html_size, docs_css_size, docs_js_size;

#endif
