#include "../unit.h"
#include "base/metrics.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static const double bounds[] = {0.1, 1, 10};

static void writes_families_together(void **state) {
  (void)state;
  pn_metrics *m = pn_metrics_new();
  pn_metric *ok =
      pn_metrics_add(m, &(pn_metric_spec){PN_COUNTER, "a_total", "As.", "x:a_total", "end=\"ok\"", NULL, 0});
  pn_metric *g = pn_metrics_add(m, &(pn_metric_spec){PN_GAUGE, "b_bytes", "Bs.", NULL, NULL, NULL, 0});
  pn_metric *bad =
      pn_metrics_add(m, &(pn_metric_spec){PN_COUNTER, "a_total", "As.", "x:a_total", "end=\"bad\"", NULL, 0});
  pn_metric_add(ok, 2);
  pn_metric_add(bad, 1);
  pn_metric_add(bad, 4);
  pn_metric_set(g, 1.5);
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  assert_string_equal(pn_buf_cstr(&out), "# HELP a_total As.\n# TYPE a_total counter\n"
                                         "a_total{end=\"ok\"} 2\na_total{end=\"bad\"} 5\n"
                                         "# HELP b_bytes Bs.\n# TYPE b_bytes gauge\nb_bytes 1.5\n"
                                         "# HELP x:a_total As.\n# TYPE x:a_total counter\n"
                                         "x:a_total{end=\"ok\"} 2\nx:a_total{end=\"bad\"} 5\n");
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

static void histograms_are_cumulative(void **state) {
  (void)state;
  pn_metrics *m = pn_metrics_new();
  pn_metric *h =
      pn_metrics_add(m, &(pn_metric_spec){PN_HISTOGRAM, "t_seconds", "T.", NULL, "k=\"v\"", bounds, 3});
  static const double seen[] = {0.1, 0.2, 1, 5, 11, 12};
  for (size_t i = 0; i < 6; i++) pn_metric_observe(h, seen[i]);
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  assert_string_equal(pn_buf_cstr(&out), "# HELP t_seconds T.\n# TYPE t_seconds histogram\n"
                                         "t_seconds_bucket{k=\"v\",le=\"0.1\"} 1\n"
                                         "t_seconds_bucket{k=\"v\",le=\"1\"} 3\n"
                                         "t_seconds_bucket{k=\"v\",le=\"10\"} 4\n"
                                         "t_seconds_bucket{k=\"v\",le=\"+Inf\"} 6\n"
                                         "t_seconds_sum{k=\"v\"} 29.3\nt_seconds_count{k=\"v\"} 6\n");
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

static void set_gauge(void *g) { pn_metric_set(g, 7); }

static void refreshes_before_writing(void **state) {
  (void)state;
  pn_metrics *m = pn_metrics_new();
  pn_metric *g = pn_metrics_add(m, &(pn_metric_spec){PN_GAUGE, "g", "G.", NULL, NULL, NULL, 0});
  for (int i = 0; i < 8; i++) assert_true(pn_metrics_on_write(m, set_gauge, g));
  assert_false(pn_metrics_on_write(m, set_gauge, g));
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  assert_non_null(strstr(pn_buf_cstr(&out), "\ng 7\n"));
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

static void nobody_counts(void **state) {
  (void)state;
  assert_null(pn_metrics_add(NULL, &(pn_metric_spec){PN_GAUGE, "g", "G.", NULL, NULL, NULL, 0}));
  pn_metric_add(NULL, 1);
  pn_metric_set(NULL, 1);
  pn_metric_observe(NULL, 1);
  assert_true(pn_metric_value(NULL) == 0);
  pn_metrics_write(NULL, NULL);
  assert_true(pn_metrics_on_write(NULL, set_gauge, NULL));
  pn_metrics_free(NULL);
}

static void writes_numbers(void **state) {
  (void)state;
  static const struct {
    double v;
    const char *text;
  } cases[] = {{0, "0"},
               {0.1, "0.1"},
               {-3, "-3"},
               {0.0075, "0.0075"},
               {1795459866.25, "1795459866.25"},
               {9007199254740991, "9007199254740991"},
               {1e300, "1e+300"},
               {INFINITY, "+Inf"},
               {-INFINITY, "-Inf"},
               {NAN, "NaN"}};
  pn_metrics *m = pn_metrics_new();
  pn_metric *g = pn_metrics_add(m, &(pn_metric_spec){PN_GAUGE, "g", "G.", NULL, NULL, NULL, 0});
  pn_buf out = {0};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char want[100];
    snprintf(want, sizeof want, "# HELP g G.\n# TYPE g gauge\ng %s\n", cases[i].text);
    pn_metric_set(g, cases[i].v);
    pn_buf_clear(&out);
    pn_metrics_write(m, &out);
    assert_string_equal(pn_buf_cstr(&out), want);
  }
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

static void keeps_its_own_labels(void **state) {
  (void)state;
  pn_metrics *m = pn_metrics_new();
  char labels[] = "v=\"1\"";
  pn_metric *g = pn_metrics_add(m, &(pn_metric_spec){PN_GAUGE, "g", "G.", NULL, labels, NULL, 0});
  memset(labels, 'x', sizeof labels - 1);
  pn_metric_set(g, 1);
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  assert_non_null(strstr(pn_buf_cstr(&out), "\ng{v=\"1\"} 1\n"));
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

static void *count(void *h) {
  for (int i = 0; i < 10000; i++) pn_metric_observe(h, 0.5);
  return NULL;
}

static void loses_nothing_between_threads(void **state) {
  (void)state;
  pn_metrics *m = pn_metrics_new();
  pn_metric *h = pn_metrics_add(m, &(pn_metric_spec){PN_HISTOGRAM, "h", "H.", NULL, NULL, bounds, 3});
  pthread_t t[4];
  for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, count, h);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  assert_true(pn_metric_value(h) == 20000);
  pn_buf out = {0};
  pn_metrics_write(m, &out);
  assert_non_null(strstr(pn_buf_cstr(&out), "h_count 40000\n"));
  pn_buf_fini(&out);
  pn_metrics_free(m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(writes_families_together),
      cmocka_unit_test(histograms_are_cumulative),
      cmocka_unit_test(refreshes_before_writing),
      cmocka_unit_test(nobody_counts),
      cmocka_unit_test(writes_numbers),
      cmocka_unit_test(keeps_its_own_labels),
      cmocka_unit_test(loses_nothing_between_threads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
