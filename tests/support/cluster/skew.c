/* LD_PRELOAD shim: adds the offset (seconds, a double) held in the file named
 * by SKEW_FILE to the wall clock only.  Monotonic clocks, sleeps and timeouts
 * are left alone, and a new offset in the file is seen at once.
 * build: cc -O2 -shared -fPIC -o skew.so skew.c -ldl */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile double *off;
static int (*real_cg)(clockid_t, struct timespec *);

__attribute__((constructor)) static void init(void) {
    const char *f = getenv("SKEW_FILE");
    int fd = f ? open(f, O_RDONLY | O_CLOEXEC) : -1;
    real_cg = dlsym(RTLD_NEXT, "clock_gettime");
    if (fd < 0) return;
    void *p = mmap(0, sizeof(double), PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED) off = p;
    close(fd);
}
int clock_gettime(clockid_t c, struct timespec *ts) {
    if (!real_cg) real_cg = dlsym(RTLD_NEXT, "clock_gettime");
    int r = real_cg(c, ts);
    if (r == 0 && off && (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE || c == CLOCK_TAI)) {
        double o = *off, s = floor(o);
        ts->tv_sec += (time_t)s;
        ts->tv_nsec += (long)((o - s) * 1e9);
        if (ts->tv_nsec >= 1000000000L) { ts->tv_nsec -= 1000000000L; ts->tv_sec++; }
    }
    return r;
}
int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec t;
    (void)tz;
    clock_gettime(CLOCK_REALTIME, &t);
    if (tv) { tv->tv_sec = t.tv_sec; tv->tv_usec = t.tv_nsec / 1000; }
    return 0;
}
time_t time(time_t *p) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (p) *p = t.tv_sec;
    return t.tv_sec;
}
