#include "api/api_table.h"

#include "api/answers_shape.h"
#include "api/batches.h"
#include "api/messages_shapes.h"
#include "api/openai.h"

static const shape limit = {.types = SHAPE_INT, .bounded = true, .min = 1, .max = 1000};
static const shape any_text = {.types = SHAPE_STRING};
static const shape_field list_query[] = {
    {"limit", &limit, false, "How many at most. Default 20."},
    {"after_id", &any_text, false, "Those behind this one."},
    {"before_id", &any_text, false, "Those in front of this one."},
    {0},
};

#define MESSAGES "Messages"
#define BATCHES "Message Batches"
#define MODELS "Models"
#define OPENAI "OpenAI"
#define SERVER "Server"
#define JSONL "application/x-jsonl"
#define PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"
#define HTML "text/html; charset=utf-8"

// A type of the answer is repeated by its handler.
// clang-format off
const api_route api_table[] = {
    {"POST", "/v1/messages", messages_create, false, false, MESSAGES, "Answer a conversation.",
     NULL, NULL, &messages_create_shape, &answer_message_shape, NULL, true},
    {"POST", "/v1/messages/count_tokens", messages_count, false, false, MESSAGES, "Count the tokens of a prompt.",
     NULL, NULL, &messages_count_shape, &answer_count_shape, NULL, false},
    {"POST", "/v1/messages/batches", batches_create, false, false, BATCHES, "Answer many conversations when there is time.",
     NULL, NULL, &batches_create_shape, &answer_batch_shape, NULL, false},
    {"GET", "/v1/messages/batches", batches_list, false, false, BATCHES, "List batches, the newest first.",
     NULL, list_query, NULL, &answer_batch_list_shape, NULL, false},
    {"GET", "/v1/messages/batches/*/results", batches_results, false, false, BATCHES, "The results of a batch that has ended, one a line.",
     "message_batch_id", NULL, NULL, NULL, JSONL, false},
    {"POST", "/v1/messages/batches/*/cancel", batches_cancel, false, false, BATCHES, "Cancel what a batch has not answered yet.",
     "message_batch_id", NULL, NULL, &answer_batch_shape, NULL, false},
    {"GET", "/v1/messages/batches/*", batches_get, false, false, BATCHES, "How far a batch is.",
     "message_batch_id", NULL, NULL, &answer_batch_shape, NULL, false},
    {"DELETE", "/v1/messages/batches/*", batches_delete, false, false, BATCHES, "Delete a batch that has ended, with its results.",
     "message_batch_id", NULL, NULL, &answer_deleted_shape, NULL, false},
    {"GET", "/v1/models", models_list, false, false, MODELS, "The names of the model that is served.",
     NULL, list_query, NULL, &answer_model_list_shape, NULL, false},
    {"GET", "/v1/models/*", models_get, false, false, MODELS, "The model under one of its names.",
     "model_id", NULL, NULL, &answer_model_shape, NULL, false},
    {"POST", "/v1/chat/completions", openai_chat, true, false, OPENAI, "Answer a conversation.",
     NULL, NULL, &openai_chat_shape, &answer_chat_shape, NULL, true},
    {"POST", "/v1/completions", openai_completion, true, false, OPENAI, "Go on with a text.",
     NULL, NULL, &openai_completion_shape, &answer_completion_shape, NULL, true},
    {"POST", "/v1/embeddings", openai_embedding, true, false, OPENAI, "Always refused: the model makes no embeddings.",
     NULL, NULL, &openai_embedding_shape, NULL, NULL, false},
    {"POST", "/tokenize", openai_tokenize, true, false, OPENAI, "The tokens of a text or a conversation.",
     NULL, NULL, &openai_tokenize_shape, &answer_tokens_shape, NULL, false},
    {"POST", "/detokenize", openai_detokenize, true, false, OPENAI, "The text of tokens.",
     NULL, NULL, &openai_detokenize_shape, &answer_text_shape, NULL, false},
    {"GET", "/health", about_health, false, false, SERVER, "Whether the server can answer; 503 while it can't. Needs no key.",
     NULL, NULL, NULL, &answer_health_shape, NULL, false},
    {"GET", "/metrics", about_metrics, false, false, SERVER, "Figures for Prometheus.",
     NULL, NULL, NULL, NULL, PROMETHEUS, false},
    {"GET", "/openapi.json", openapi_document, false, false, SERVER, "This document.",
     NULL, NULL, NULL, NULL, NULL, false},
    {"GET", "/docs", docs_page, false, true, SERVER, "This document, to be read.", NULL, NULL, NULL, NULL, HTML, false},
    {"GET", "/docs/*", docs_part, false, true, SERVER, "What the page needs.", "file", NULL, NULL, NULL, NULL, false},
    {"GET", "/api/hello", about_hello, false, true, SERVER, "Who answers.", NULL, NULL, NULL, NULL, NULL, false},
    {"GET", "/", about_hello, false, true, SERVER, "Who answers.", NULL, NULL, NULL, NULL, NULL, false},
    {0},
};
// clang-format on

int api_table_size(void) { return (int)(sizeof api_table / sizeof *api_table) - 1; }
