//! Channels are restarted by either end, with and without calls on them.

use trunkline_isdn::Output;

use super::basic_call::call_out;
use super::peer::on_every_interface;

#[test]
fn either_end_restarts_a_channel_and_its_call_is_gone() {
    on_every_interface(|line| {
        assert_eq!(line.other(), Output::LinkUp);
        call_out(line, 9);
        line.command("reset 9");
        assert_eq!(line.other(), Output::Restarted { channels: Some(vec![9]) });
        assert_eq!(line.event("restart_ack").number("channel"), 9);
        assert_eq!(line.ours.calls(), 0);
        line.indication();

        call_out(line, 9);
        let now = line.now();
        line.ours.restart(now, Some(9));
        assert_eq!(line.event("restart").number("channel"), 9);
        assert_eq!(line.ours.calls(), 0);
        line.indication();
        // libpri leaves it to its owner to end the call that was on the channel.
        line.settle();
        call_out(line, 9);
    });
}
