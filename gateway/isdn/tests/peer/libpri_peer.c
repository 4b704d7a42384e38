/*
 * One end of a primary rate interface, spoken by libpri: a peer for the tests of trunkline-isdn.
 *
 * SPDX-License-Identifier: Apache-2.0
 *
 * A process of its own, built and started by the tests; libpri (GPL-2.0) is linked to nothing
 * else. Standard input is a datagram socket, the D channel: a frame a datagram, without flags, with
 * two octets where the FCS is, which libpri writes as filler and ignores when it reads. Standard
 * output is a stream socket: commands come in and events go out on it, a line each. The end of
 * that stream is the end of the process.
 *
 * usage: libpri_peer network|user SWITCHTYPE [TIMER=VALUE_MS...]
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include <libpri.h>

#define CALLS_MAX 256

static struct pri *interface;
static q931_call *calls[CALLS_MAX];
static int calls_begun;

static void say(const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    if (length > (int)sizeof line - 2) {
        length = sizeof line - 2;
    }
    line[length] = '\n';
    if (write(STDOUT_FILENO, line, length + 1) < 0) {
        exit(1);
    }
}

static int read_frame(struct pri *pri, void *octets, int size)
{
    (void)pri;
    ssize_t length = read(STDIN_FILENO, octets, size);
    return length < 0 ? 0 : (int)length;
}

static int write_frame(struct pri *pri, void *octets, int size)
{
    (void)pri;
    return (int)write(STDIN_FILENO, octets, size);
}

static void complain(struct pri *pri, char *text)
{
    (void)pri;
    fputs(text, stderr);
}

/* The number by which the other end of the stream knows a call. */
static int number_of(q931_call *call)
{
    for (int number = calls_begun - 1; number >= 0; number--) {
        if (calls[number % CALLS_MAX] == call) {
            return number;
        }
    }
    return -1;
}

static int begin(q931_call *call)
{
    calls[calls_begun % CALLS_MAX] = call;
    return calls_begun++;
}

static void forget(q931_call *call)
{
    int number = number_of(call);
    if (number >= 0) {
        calls[number % CALLS_MAX] = NULL;
    }
}

static const char *or_none(const char *text)
{
    return text[0] ? text : "-";
}

/* What came along with a message: connected line and redirecting numbers, display. */
static void say_subcommands(int number, const struct pri_subcommands *commands)
{
    for (int index = 0; commands && index < commands->counter_subcmd; index++) {
        const struct pri_subcommand *command = &commands->subcmd[index];
        if (command->cmd == PRI_SUBCMD_CONNECTED_LINE) {
            const struct pri_party_number *connected = &command->u.connected_line.id.number;
            /* libpri speaks of one with every answer. */
            if (connected->str[0]) {
                say("connected call=%d number=%s plan=%d presentation=%d", number, connected->str,
                    connected->plan, connected->presentation);
            }
        } else if (command->cmd == PRI_SUBCMD_DISPLAY_TEXT) {
            say("display call=%d text=%.*s", number, (int)command->u.display.length,
                command->u.display.text);
        }
    }
}

static void ring(pri_event_ring *event)
{
    int number = begin(event->call);
    say("ring call=%d channel=%d flexible=%d called=%s plan=%d complete=%d calling=%s "
        "calling_plan=%d presentation=%d redirecting=%s reason=%d bearer=%d layer1=%d "
        "progress=%d user_user=%s name=%s",
        number, event->channel & 0xff, event->flexible, or_none(event->callednum),
        event->calledplan, event->complete, or_none(event->callingnum), event->callingplan,
        event->callingpres, or_none(event->redirectingnum), event->redirectingreason, event->ctype,
        event->layer1, event->progressmask, or_none(event->useruserinfo),
        or_none(event->callingname));
    say_subcommands(number, event->subcmds);
}

static void tell(pri_event *event)
{
    int number;
    switch (event->e) {
    case PRI_EVENT_DCHAN_UP:
        say("up");
        break;
    case PRI_EVENT_DCHAN_DOWN:
        say("down");
        break;
    case PRI_EVENT_RESTART:
        say("restart channel=%d", event->restart.channel);
        break;
    case PRI_EVENT_RESTART_ACK:
        say("restart_ack channel=%d", event->restartack.channel);
        break;
    case PRI_EVENT_RING:
        ring(&event->ring);
        break;
    case PRI_EVENT_SETUP_ACK:
        number = number_of(event->setup_ack.call);
        say("setup_ack call=%d channel=%d progress=%d", number, event->setup_ack.channel & 0xff,
            event->setup_ack.progressmask);
        break;
    case PRI_EVENT_PROCEEDING:
    case PRI_EVENT_PROGRESS:
        number = number_of(event->proceeding.call);
        say("%s call=%d channel=%d progress=%d",
            event->e == PRI_EVENT_PROGRESS ? "progress" : "proceeding", number,
            event->proceeding.channel & 0xff, event->proceeding.progressmask);
        say_subcommands(number, event->proceeding.subcmds);
        break;
    case PRI_EVENT_RINGING:
        number = number_of(event->ringing.call);
        say("ringing call=%d channel=%d progress=%d", number, event->ringing.channel & 0xff,
            event->ringing.progressmask);
        say_subcommands(number, event->ringing.subcmds);
        break;
    case PRI_EVENT_ANSWER:
        number = number_of(event->answer.call);
        say("answer call=%d channel=%d progress=%d user_user=%s", number,
            event->answer.channel & 0xff, event->answer.progressmask,
            or_none(event->answer.useruserinfo));
        say_subcommands(number, event->answer.subcmds);
        break;
    case PRI_EVENT_CONNECT_ACK:
        say("connect_ack call=%d", number_of(event->connect_ack.call));
        break;
    case PRI_EVENT_INFO_RECEIVED:
        say("digits call=%d called=%s complete=%d", number_of(event->ring.call),
            or_none(event->ring.callednum), event->ring.complete);
        break;
    case PRI_EVENT_KEYPAD_DIGIT:
        say("keypad call=%d digits=%s", number_of(event->digit.call), or_none(event->digit.digits));
        break;
    case PRI_EVENT_NOTIFY:
        say("notify call=%d description=%d", number_of(event->notify.call), event->notify.info);
        break;
    case PRI_EVENT_FACILITY:
        say("facility call=%d", number_of(event->facility.call));
        break;
    case PRI_EVENT_SERVICE:
        say("service channel=%d status=%d", event->service.channel, event->service.changestatus);
        break;
    case PRI_EVENT_SERVICE_ACK:
        say("service_ack channel=%d status=%d", event->service_ack.channel,
            event->service_ack.changestatus);
        break;
    case PRI_EVENT_HANGUP_REQ:
        say("disconnect call=%d cause=%d", number_of(event->hangup.call),
            event->hangup.cause);
        pri_hangup(interface, event->hangup.call, event->hangup.cause);
        break;
    case PRI_EVENT_HANGUP:
        number = number_of(event->hangup.call);
        say("hangup call=%d cause=%d", number, event->hangup.cause);
        forget(event->hangup.call);
        pri_hangup(interface, event->hangup.call, event->hangup.cause);
        break;
    case PRI_EVENT_HANGUP_ACK:
        /* libpri has freed the call. */
        say("hangup_ack call=%d cause=%d", number_of(event->hangup.call), event->hangup.cause);
        forget(event->hangup.call);
        break;
    default:
        say("event number=%d", event->e);
        break;
    }
}

/* call CHANNEL EXCLUSIVE CALLED PLAN COMPLETE CALLING PLAN PRESENTATION
 *      [REDIRECTING PLAN PRESENTATION REASON]
 */
static void dial(char *arguments)
{
    int channel, exclusive, called_plan, complete, calling_plan, presentation;
    int redirecting_plan = 0, redirecting_presentation = 0, reason = 0;
    char called[80], calling[80], redirecting[80];
    int count = sscanf(arguments, "%d %d %79s %d %d %79s %d %d %79s %d %d %d", &channel, &exclusive,
                       called, &called_plan, &complete, calling, &calling_plan, &presentation,
                       redirecting, &redirecting_plan, &redirecting_presentation, &reason);
    if (count != 8 && count != 12) {
        say("usage");
        return;
    }
    q931_call *call = pri_new_call(interface);
    struct pri_sr *request = pri_sr_new();
    pri_sr_set_channel(request, channel, exclusive, 0);
    pri_sr_set_bearer(request, PRI_TRANS_CAP_SPEECH, PRI_LAYER_1_ALAW);
    pri_sr_set_called(request, called, called_plan, complete);
    pri_sr_set_caller(request, calling, NULL, calling_plan, presentation);
    if (count == 12) {
        pri_sr_set_redirecting(request, redirecting, redirecting_plan, redirecting_presentation,
                               reason);
    }
    int number = begin(call);
    if (pri_setup(interface, call, request)) {
        say("refused call=%d", number);
    } else {
        say("calling call=%d", number);
    }
    pri_sr_free(request);
}

/* NUMBER PLAN PRESENTATION: the connected line of a call that is not answered yet. */
static void set_connected(q931_call *call, const char *arguments)
{
    struct pri_party_connected_line line;
    memset(&line, 0, sizeof line);
    struct pri_party_number *number = &line.id.number;
    if (sscanf(arguments, "%63s %d %d", number->str, &number->plan, &number->presentation) == 3) {
        number->valid = 1;
        pri_connected_line_update(interface, call, &line);
    }
}

static void obey(char *line)
{
    char verb[32];
    int first = 0, second = 0, behind = 0;
    if (sscanf(line, "%31s %n", verb, &behind) < 1) {
        return;
    }
    char *arguments = line + behind;
    if (!strcmp(verb, "call")) {
        dial(arguments);
        return;
    }
    if (!strcmp(verb, "sync")) {
        say("synced");
        return;
    }
    if (!strcmp(verb, "reset")) {
        if (pri_reset(interface, atoi(arguments))) {
            say("refused");
        }
        return;
    }
    if (!strcmp(verb, "service")) {
        /* CHANNEL STATUS: 0 in service, 1 maintenance, 2 out of service. */
        if (sscanf(arguments, "%d %d", &first, &second) != 2 ||
            pri_maintenance_service(interface, 0, first, second)) {
            say("refused");
        }
        return;
    }
    behind = 0;
    if (sscanf(arguments, "%d %n", &first, &behind) < 1 || first < 0 || first >= calls_begun ||
        !calls[first % CALLS_MAX]) {
        say("no_call");
        return;
    }
    arguments += behind;
    second = atoi(arguments);
    q931_call *call = calls[first % CALLS_MAX];
    if (!strcmp(verb, "setup_ack")) {
        pri_setup_ack(interface, call, second, 0, 1);
    } else if (!strcmp(verb, "proceed")) {
        pri_proceeding(interface, call, second, 0);
    } else if (!strcmp(verb, "progress")) {
        pri_progress(interface, call, second, 1);
    } else if (!strcmp(verb, "alert")) {
        pri_acknowledge(interface, call, second, 1);
    } else if (!strcmp(verb, "answer")) {
        pri_answer(interface, call, second, 0);
    } else if (!strcmp(verb, "connected")) {
        set_connected(call, arguments);
    } else if (!strcmp(verb, "digit")) {
        pri_information(interface, call, arguments[0]);
    } else if (!strcmp(verb, "keypad")) {
        arguments[strcspn(arguments, "\r\n")] = 0;
        pri_keypad_facility(interface, call, arguments);
    } else if (!strcmp(verb, "notify")) {
        pri_notify(interface, call, 0, second);
    } else if (!strcmp(verb, "hangup")) {
        pri_hangup(interface, call, second);
    } else {
        say("unknown command");
    }
}

/* Commands that have come whole; the rest of a line stays for the next time. */
static void read_commands(void)
{
    static char pending[4096];
    static size_t used;
    ssize_t length = read(STDOUT_FILENO, pending + used, sizeof pending - 1 - used);
    if (length <= 0) {
        exit(0);
    }
    used += length;
    pending[used] = 0;
    char *line = pending;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        obey(line);
    }
    used = strlen(line);
    memmove(pending, line, used + 1);
}

static int wait_ms(void)
{
    struct timeval *next = pri_schedule_next(interface);
    if (!next) {
        return -1;
    }
    struct timeval now;
    gettimeofday(&now, NULL);
    long ms = (next->tv_sec - now.tv_sec) * 1000 + (next->tv_usec - now.tv_usec) / 1000 + 1;
    return ms < 0 ? 0 : (int)ms;
}

static int switch_type(const char *name)
{
    static const struct {
        const char *name;
        int value;
    } types[] = {
        {"euroisdn_e1", PRI_SWITCH_EUROISDN_E1}, {"euroisdn_t1", PRI_SWITCH_EUROISDN_T1},
        {"ni2", PRI_SWITCH_NI2},                 {"dms100", PRI_SWITCH_DMS100},
        {"4ess", PRI_SWITCH_ATT4ESS},            {"5ess", PRI_SWITCH_LUCENT5E},
        {"qsig", PRI_SWITCH_QSIG},
    };
    for (size_t index = 0; index < sizeof types / sizeof types[0]; index++) {
        if (!strcmp(types[index].name, name)) {
            return types[index].value;
        }
    }
    fprintf(stderr, "no switch type %s\n", name);
    exit(2);
}

int main(int count, char **arguments)
{
    if (count < 3) {
        fprintf(stderr, "usage: libpri_peer network|user SWITCHTYPE [TIMER=VALUE_MS...]\n");
        return 2;
    }
    pri_set_message(complain);
    pri_set_error(complain);
    int node = strcmp(arguments[1], "network") ? PRI_CPE : PRI_NETWORK;
    interface = pri_new_cb(STDIN_FILENO, node, switch_type(arguments[2]), read_frame, write_frame,
                           NULL);
    if (!interface) {
        return 1;
    }
    for (int index = 3; index < count; index++) {
        char *value = strchr(arguments[index], '=');
        if (!strcmp(arguments[index], "overlap")) {
            pri_set_overlapdial(interface, 1);
        } else if (!strcmp(arguments[index], "debug")) {
            pri_set_debug(interface, PRI_DEBUG_Q921_DUMP | PRI_DEBUG_Q931_DUMP |
                                         PRI_DEBUG_Q931_STATE | PRI_DEBUG_Q931_ANOMALY);
        } else if (!strcmp(arguments[index], "service")) {
            pri_set_service_message_support(interface, 1);
        } else if (value) {
            *value = 0;
            pri_set_timer(interface, pri_timer2idx(arguments[index]), atoi(value + 1));
        }
    }
    for (;;) {
        struct pollfd files[] = {{STDIN_FILENO, POLLIN, 0}, {STDOUT_FILENO, POLLIN, 0}};
        int ready = poll(files, 2, wait_ms());
        if (ready < 0 && errno != EINTR) {
            return 1;
        }
        pri_event *event = NULL;
        if (ready > 0 && files[0].revents) {
            event = pri_check_event(interface);
        } else {
            event = pri_schedule_run(interface);
        }
        if (event) {
            tell(event);
        }
        /* What was on the D channel before a command is dealt with before it. */
        if (ready > 0 && files[1].revents && !files[0].revents) {
            read_commands();
        }
    }
}
