// The files of web/, made into docs_files.c at build time by cmake/Embed.cmake.
#ifndef PN_API_DOCS_FILES_H
#define PN_API_DOCS_FILES_H

#include <stddef.h>

extern const unsigned char docs_html[], docs_js[], docs_css[];
extern const size_t docs_html_n, docs_js_n, docs_css_n;

#endif
