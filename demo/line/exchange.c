/*
 * The far end of an E1, for the tests of lines: DAHDI's driver and libpri in a guest, with telephones
 * whose numbers say what they do.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A process of its own; libpri (GPL-2.0) and DAHDI's header are linked to nothing else. The span is
 * TDM over Ethernet (dahdi_dynamic_eth) on eth0. Called numbers by their last two digits:
 *
 *   01  answers, and says back what it hears until it is cleared
 *   02  is busy (cause 17)
 *   03  answers, says back what it hears, hangs up after two seconds
 *   04  answers and clears the call, then calls the calling number, says back what it hears and
 *       hangs up after six seconds
 *   00  ends the program, with status 0 if nothing went wrong
 *
 * What happens is printed, a line each.
 *
 * usage: exchange network|user ETHERNET_ADDRESS_OF_THE_OTHER_END
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <dahdi/user.h>
#include <libpri.h>

#define CHANNELS 31
#define D_CHANNEL 16
#define BLOCK_OCTETS 80
#define BLOCKS_AHEAD 3

struct call {
    q931_call *call;
    int file; /* of its B channel, -1 without */
    long long clears_at_ms;
    char calls_back[256];
    long blocks, not_played;
};

static struct pri *interface;
static struct call calls[CHANNELS + 1]; /* by timeslot */
static int d_channel, control, span, alarms = -1, ends, bad;
static long events;
static char to_call[256];
static long long call_at_ms;

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static void fail(const char *what)
{
    printf("failed: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* An event stands in the way of every read and write. */
static void drain(int file, const char *where)
{
    int event = 0;
    while (!ioctl(file, DAHDI_GETEVENT, &event) && event != DAHDI_EVENT_NONE) {
        events++;
        printf("event %d on %s\n", event, where);
    }
}

static int read_frame(struct pri *pri, void *octets, int size)
{
    (void)pri;
    ssize_t length = read(d_channel, octets, size);
    if (length < 0 && errno == ELAST) {
        drain(d_channel, "d-channel");
        return 0;
    }
    return length < 0 ? 0 : (int)length;
}

static int write_frame(struct pri *pri, void *octets, int size)
{
    (void)pri;
    ssize_t length = write(d_channel, octets, size);
    if (length < 0 && errno == ELAST) {
        drain(d_channel, "d-channel");
        length = write(d_channel, octets, size);
    }
    return (int)length;
}

static void complain(struct pri *pri, char *text)
{
    (void)pri;
    printf("libpri: %s", text);
}

static int open_channel(int number)
{
    int file = open("/dev/dahdi/channel", O_RDWR | O_NONBLOCK);
    if (file < 0 || ioctl(file, DAHDI_SPECIFY, &number)) {
        fail("a channel");
    }
    return file;
}

static void set_up_span(const char *other_end)
{
    struct dahdi_dynamic_span dynamic;
    memset(&dynamic, 0, sizeof dynamic);
    strcpy(dynamic.driver, "eth");
    snprintf(dynamic.addr, sizeof dynamic.addr, "eth0/%s/0", other_end);
    dynamic.numchans = CHANNELS;
    dynamic.timing = 1;
    if (ioctl(control, DAHDI_DYNAMIC_CREATE, &dynamic)) {
        fail("the span");
    }
    span = dynamic.spanno;
    struct dahdi_lineconfig line;
    memset(&line, 0, sizeof line);
    line.span = span;
    line.lineconfig = DAHDI_CONFIG_CCS | DAHDI_CONFIG_HDB3;
    if (ioctl(control, DAHDI_SPANCONFIG, &line)) {
        fail("its configuration");
    }
    for (int channel = 1; channel <= CHANNELS; channel++) {
        struct dahdi_chanconfig settings;
        memset(&settings, 0, sizeof settings);
        settings.chan = settings.master = channel;
        settings.sigtype = channel == D_CHANNEL ? DAHDI_SIG_HDLCFCS : DAHDI_SIG_CLEAR;
        settings.deflaw = DAHDI_LAW_ALAW;
        if (ioctl(control, DAHDI_CHANCONFIG, &settings)) {
            fail("a channel's configuration");
        }
    }
    if (ioctl(control, DAHDI_STARTUP, &span)) {
        fail("the start of the span");
    }
}

static void open_voice(int timeslot)
{
    struct call *call = &calls[timeslot];
    int on = 1;
    struct dahdi_bufferinfo buffers;
    unsigned char silence[BLOCK_OCTETS];
    call->file = open_channel(timeslot);
    memset(&buffers, 0, sizeof buffers);
    buffers.numbufs = 12;
    buffers.bufsize = BLOCK_OCTETS;
    if (ioctl(call->file, DAHDI_AUDIOMODE, &on) || ioctl(call->file, DAHDI_SET_BUFINFO, &buffers)) {
        fail("a B channel");
    }
    /* What is said back is late by these, and has no holes where this program is late. */
    memset(silence, 0xd5, sizeof silence);
    for (int block = 0; block < BLOCKS_AHEAD; block++) {
        if (write(call->file, silence, sizeof silence) < 0 && errno != EAGAIN) {
            drain(call->file, "b-channel");
        }
    }
}

static void say_back(int timeslot)
{
    struct call *call = &calls[timeslot];
    unsigned char block[BLOCK_OCTETS];
    for (;;) {
        ssize_t length = read(call->file, block, sizeof block);
        if (length < 0 && errno == ELAST) {
            drain(call->file, "b-channel");
            continue;
        }
        if (length <= 0) {
            return;
        }
        call->blocks++;
        while (write(call->file, block, length) < 0) {
            if (errno != ELAST) {
                call->not_played++;
                break;
            }
            drain(call->file, "b-channel");
        }
    }
}

static int timeslot_of(q931_call *call)
{
    for (int timeslot = 1; timeslot <= CHANNELS; timeslot++) {
        if (calls[timeslot].call == call) {
            return timeslot;
        }
    }
    return 0;
}

static void forget(q931_call *call)
{
    int timeslot = timeslot_of(call);
    if (!timeslot) {
        return;
    }
    struct call *gone = &calls[timeslot];
    if (gone->file >= 0) {
        close(gone->file);
        printf("voice on %d: %ld blocks said back, %ld not\n", timeslot, gone->blocks,
               gone->not_played);
    }
    if (gone->calls_back[0]) {
        strcpy(to_call, gone->calls_back);
        call_at_ms = now_ms() + 500;
    }
    memset(gone, 0, sizeof *gone);
    gone->file = -1;
}

static void ring(pri_event_ring *event)
{
    int timeslot = event->channel & 0xff;
    size_t length = strlen(event->callednum);
    int does = length >= 2 ? atoi(event->callednum + length - 2) : -1;
    printf("ring on %d: %s calls %s\n", timeslot, event->callingnum, event->callednum);
    if (timeslot < 1 || timeslot > CHANNELS || calls[timeslot].call) {
        pri_hangup(interface, event->call, PRI_CAUSE_REQUESTED_CHAN_UNAVAIL);
        return;
    }
    struct call *call = &calls[timeslot];
    call->call = event->call;
    call->file = -1;
    pri_proceeding(interface, event->call, event->channel, 0);
    switch (does) {
    case 0:
        ends = 1;
        pri_hangup(interface, event->call, PRI_CAUSE_NORMAL_CLEARING);
        return;
    case 2:
        pri_hangup(interface, event->call, PRI_CAUSE_USER_BUSY);
        return;
    case 3:
        call->clears_at_ms = now_ms() + 2000;
        break;
    case 4:
        snprintf(call->calls_back, sizeof call->calls_back, "%s", event->callingnum);
        call->clears_at_ms = now_ms() + 200;
        break;
    default:
        break;
    }
    pri_acknowledge(interface, event->call, event->channel, 0);
    open_voice(timeslot);
    pri_answer(interface, event->call, event->channel, 0);
}

/* A call of ours, on the first timeslot that is free. */
static void dial(const char *number)
{
    for (int timeslot = 1; timeslot <= CHANNELS; timeslot++) {
        if (timeslot == D_CHANNEL || calls[timeslot].call) {
            continue;
        }
        struct call *call = &calls[timeslot];
        memset(call, 0, sizeof *call);
        call->file = -1;
        call->call = pri_new_call(interface);
        struct pri_sr *request = pri_sr_new();
        pri_sr_set_channel(request, timeslot, 1, 0);
        pri_sr_set_bearer(request, PRI_TRANS_CAP_SPEECH, PRI_LAYER_1_ALAW);
        pri_sr_set_called(request, (char *)number, PRI_NATIONAL_ISDN, 1);
        pri_sr_set_caller(request, "333331204", NULL, PRI_NATIONAL_ISDN,
                          PRES_ALLOWED_USER_NUMBER_PASSED_SCREEN);
        printf("calling %s on %d\n", number, timeslot);
        if (pri_setup(interface, call->call, request)) {
            printf("failed: no SETUP\n");
            bad = 1;
        }
        pri_sr_free(request);
        return;
    }
}

static void tell(pri_event *event)
{
    int timeslot;
    switch (event->e) {
    case PRI_EVENT_DCHAN_UP:
        printf("data link up\n");
        break;
    case PRI_EVENT_DCHAN_DOWN:
        printf("data link down\n");
        break;
    case PRI_EVENT_RING:
        ring(&event->ring);
        break;
    case PRI_EVENT_ANSWER:
        timeslot = timeslot_of(event->answer.call);
        printf("answered on %d\n", timeslot);
        if (timeslot) {
            open_voice(timeslot);
            calls[timeslot].clears_at_ms = now_ms() + 6000;
        }
        break;
    case PRI_EVENT_HANGUP_REQ:
        printf("disconnect on %d: cause %d\n", timeslot_of(event->hangup.call),
               event->hangup.cause);
        pri_hangup(interface, event->hangup.call, event->hangup.cause);
        break;
    case PRI_EVENT_HANGUP:
        printf("release on %d: cause %d\n", timeslot_of(event->hangup.call), event->hangup.cause);
        forget(event->hangup.call);
        pri_hangup(interface, event->hangup.call, event->hangup.cause);
        break;
    case PRI_EVENT_HANGUP_ACK:
        /* libpri has freed the call. */
        printf("released on %d: cause %d\n", timeslot_of(event->hangup.call),
               event->hangup.cause);
        forget(event->hangup.call);
        break;
    default:
        break;
    }
}

static void look_at_alarms(void)
{
    struct dahdi_spaninfo state;
    memset(&state, 0, sizeof state);
    state.spanno = span;
    if (ioctl(control, DAHDI_SPANSTAT, &state)) {
        fail("the span's state");
    }
    if (state.alarms != alarms) {
        alarms = state.alarms;
        printf("alarms%s%s%s\n", alarms & DAHDI_ALARM_RED ? " red" : "",
               alarms & DAHDI_ALARM_YELLOW ? " yellow" : "",
               alarms & (DAHDI_ALARM_RED | DAHDI_ALARM_YELLOW) ? "" : " none");
    }
}

static void look_at_clocks(void)
{
    long long now = now_ms();
    for (int timeslot = 1; timeslot <= CHANNELS; timeslot++) {
        struct call *call = &calls[timeslot];
        if (call->call && call->clears_at_ms && now >= call->clears_at_ms) {
            call->clears_at_ms = 0;
            pri_hangup(interface, call->call, PRI_CAUSE_NORMAL_CLEARING);
        }
    }
    if (to_call[0] && now >= call_at_ms) {
        dial(to_call);
        to_call[0] = 0;
    }
    struct timeval *next = pri_schedule_next(interface);
    struct timeval time;
    gettimeofday(&time, NULL);
    if (next && timercmp(next, &time, <=)) {
        pri_event *event = pri_schedule_run(interface);
        if (event) {
            tell(event);
        }
    }
}

int main(int count, char **arguments)
{
    if (count != 3) {
        fprintf(stderr, "usage: exchange network|user ETHERNET_ADDRESS\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (system("ifconfig eth0 up")) {
        fail("eth0");
    }
    control = open("/dev/dahdi/ctl", O_RDWR);
    if (control < 0) {
        fail("/dev/dahdi/ctl");
    }
    set_up_span(arguments[2]);
    for (int timeslot = 0; timeslot <= CHANNELS; timeslot++) {
        calls[timeslot].file = -1;
    }
    d_channel = open_channel(D_CHANNEL);
    struct dahdi_bufferinfo buffers;
    memset(&buffers, 0, sizeof buffers);
    buffers.numbufs = 32;
    buffers.bufsize = 1024;
    if (ioctl(d_channel, DAHDI_SET_BUFINFO, &buffers)) {
        fail("the D channel");
    }
    pri_set_message(complain);
    pri_set_error(complain);
    int node = strcmp(arguments[1], "network") ? PRI_CPE : PRI_NETWORK;
    interface = pri_new_cb(d_channel, node, PRI_SWITCH_EUROISDN_E1, read_frame, write_frame, NULL);
    if (!interface) {
        fail("libpri");
    }
    long long ends_at_ms = 0;
    for (;;) {
        struct pollfd files[CHANNELS + 1] = {{d_channel, POLLIN | POLLPRI, 0}};
        int timeslots[CHANNELS + 1] = {0}, used = 1;
        for (int timeslot = 1; timeslot <= CHANNELS; timeslot++) {
            if (calls[timeslot].file >= 0) {
                files[used].fd = calls[timeslot].file;
                files[used].events = POLLIN | POLLPRI;
                files[used].revents = 0;
                timeslots[used++] = timeslot;
            }
        }
        if (poll(files, used, 5) < 0 && errno != EINTR) {
            fail("poll");
        }
        for (int index = 1; index < used; index++) {
            if (files[index].revents & POLLPRI) {
                drain(files[index].fd, "b-channel");
            }
            if (files[index].revents & POLLIN) {
                say_back(timeslots[index]);
            }
        }
        if (files[0].revents & POLLPRI) {
            drain(d_channel, "d-channel");
        }
        if (files[0].revents & POLLIN) {
            pri_event *event = pri_check_event(interface);
            if (event) {
                tell(event);
            }
        }
        look_at_alarms();
        look_at_clocks();
        if (ends && !ends_at_ms) {
            ends_at_ms = now_ms() + 1000;
        }
        if (ends_at_ms && now_ms() >= ends_at_ms) {
            printf("%ld events drained\n", events);
            return bad;
        }
    }
}
