#include "api/route_table.h"

#include "api/answer_shapes.h"
#include "api/batches.h"
#include "api/messages_shapes.h"
#include "api/openai.h"
#include "api/query.h"

static const shape any_string = {.types = SHAPE_STRING};
static const shape_field beta_query[] = {{"beta", &any_string, false, "Not used."}, {0}};

#define MESSAGES "Messages"
#define BATCHES "Message batches"
#define MODELS "Models"
#define OPENAI "OpenAI"
#define SERVER "Server"

const api_route api_routes[] = {
    {"POST", "/v1/messages", messages_create, .tag = MESSAGES, .id = "createMessage",
     .summary = "Answer a conversation, whole or as a stream of events.", .query = beta_query,
     .body = &messages_create_shape,
     .example = "{\"model\":\"local\",\"max_tokens\":100,\"messages\":[{\"role\":\"user\",\"content\":\"Say "
                "hello.\"}]}",
     .answer = &answer_message, .event = &answer_event, .may_miss = true, .generates = true},
    {"POST", "/v1/messages/count_tokens", messages_count, .tag = MESSAGES, .id = "countTokens",
     .summary = "Count the tokens of the prompt that a conversation makes.", .query = beta_query,
     .body = &messages_count_shape,
     .example = "{\"model\":\"local\",\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}",
     .answer = &answer_count, .may_miss = true},
    {"POST", "/v1/messages/batches", batches_create, .tag = BATCHES, .id = "createBatch",
     .summary = "Have many messages answered while nobody else wants the model.", .query = beta_query,
     .body = &batches_create_shape,
     .example = "{\"requests\":[{\"custom_id\":\"first\",\"params\":{\"model\":\"local\",\"max_tokens\":100,"
                "\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}}]}",
     .answer = &answer_batch, .may_miss = true},
    {"GET", "/v1/messages/batches", batches_list, .tag = BATCHES, .id = "listBatches",
     .summary = "List the batches, the latest first.", .query = query_page, .answer = &answer_batches,
     .may_miss = true},
    {"GET", "/v1/messages/batches/*/results", batches_results, .tag = BATCHES, .id = "getBatchResults",
     .summary = "The results of a batch that has ended: a line of JSON for each request.",
     .names = "The batch's id.", .type = "application/x-jsonl", .answer = &answer_batch_result,
     .may_miss = true},
    {"POST", "/v1/messages/batches/*/cancel", batches_cancel, .tag = BATCHES, .id = "cancelBatch",
     .summary = "Give up the requests of a batch that have no result.", .names = "The batch's id.",
     .answer = &answer_batch, .may_miss = true},
    {"GET", "/v1/messages/batches/*", batches_get, .tag = BATCHES, .id = "getBatch",
     .summary = "How far a batch is.", .names = "The batch's id.", .answer = &answer_batch, .may_miss = true},
    {"DELETE", "/v1/messages/batches/*", batches_delete, .tag = BATCHES, .id = "deleteBatch",
     .summary = "Delete a batch that has ended, and its results.", .names = "The batch's id.",
     .answer = &answer_batch_deleted, .may_miss = true},
    {"GET", "/v1/models", models_list, .tag = MODELS, .id = "listModels",
     .summary = "List the names of the model that is served.", .query = query_page, .answer = &answer_models},
    {"GET", "/v1/models/*", models_get, .tag = MODELS, .id = "getModel", .summary = "The model of one name.",
     .names = "The model's name; it may hold slashes.", .answer = &answer_model, .may_miss = true},
    {"POST", "/v1/chat/completions", openai_chat, .openai = true, .tag = OPENAI, .id = "createChatCompletion",
     .summary = "Answer a conversation, whole or in chunks.", .body = &openai_chat_shape,
     .example = "{\"model\":\"local\",\"max_completion_tokens\":100,\"messages\":[{\"role\":\"user\","
                "\"content\":\"Say hello.\"}]}",
     .answer = &answer_chat, .event = &answer_chat_chunk, .may_miss = true, .generates = true},
    {"POST", "/v1/completions", openai_completion, .openai = true, .tag = OPENAI, .id = "createCompletion",
     .summary = "Go on with a text, whole or in chunks.", .body = &openai_completion_shape,
     .example = "{\"model\":\"local\",\"max_tokens\":16,\"prompt\":\"Once upon a time\"}",
     .answer = &answer_completion, .event = &answer_completion, .may_miss = true, .generates = true},
    {"POST", "/v1/embeddings", openai_embedding, .openai = true, .tag = OPENAI, .id = "createEmbedding",
     .summary = "Refused: a model that generates text makes no embeddings.", .body = &openai_embedding_shape,
     .example = "{\"model\":\"local\",\"input\":\"Hello.\"}", .refuses = true},
    {"POST", "/tokenize", openai_tokenize, .openai = true, .tag = OPENAI, .id = "tokenize",
     .summary = "The tokens of a text, or of a conversation as the model's template writes it.",
     .body = &openai_tokenize_shape, .example = "{\"content\":\"Hello, world.\"}", .answer = &answer_tokens},
    {"POST", "/detokenize", openai_detokenize, .openai = true, .tag = OPENAI, .id = "detokenize",
     .summary = "The text of tokens.", .body = &openai_detokenize_shape, .example = "{\"tokens\":[1,2,3]}",
     .answer = &answer_text},
    {"GET", "/health", about_health, .open = true, .tag = SERVER, .id = "getHealth",
     .summary = "Whether requests are served; needs no key.", .answer = &answer_health, .tells_status = true},
    {"GET", "/metrics", about_metrics, .tag = SERVER, .id = "getMetrics",
     .summary = "Figures in the text format of Prometheus.", .type = "text/plain", .may_miss = true},
    {"GET", "/openapi.json", docs_openapi, .open = true, .tag = SERVER, .id = "getOpenapi",
     .summary = "This document; needs no key.", .answer = &answer_openapi},
    {"GET", "/docs", docs_page, .open = true, .tag = SERVER, .id = "getDocs",
     .summary = "This document for people; needs no key.", .type = "text/html"},
    {"GET", "/docs/docs.js", docs_script, .open = true, .tag = SERVER, .id = "getDocsScript",
     .summary = "A part of /docs.", .type = "text/javascript"},
    {"GET", "/docs/docs.css", docs_style, .open = true, .tag = SERVER, .id = "getDocsStyle",
     .summary = "A part of /docs.", .type = "text/css"},
    {"GET", "/api/hello", about_hello, .tag = SERVER, .id = "getHello",
     .summary = "What clients ask to see whether anybody is there.", .answer = &answer_hello},
    {"GET", "/", about_hello, .tag = SERVER, .id = "getRoot", .summary = "The same.",
     .answer = &answer_hello},
};
const int api_n_routes = sizeof api_routes / sizeof *api_routes;
