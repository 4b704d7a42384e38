//! Setting a span up in place of `dahdi_cfg`.

use std::io;

use super::device::{
    ChannelLaw, Control, DynamicSpan, Framing, LineSettings, Signalling, SpanStatus,
};
use crate::error::TdmError;

/// How a span is set up before it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUp {
    /// Made first, where it is not there yet: a span of `dahdi_dynamic`.
    pub dynamic: Option<DynamicSpan>,
    /// Frame format, line code, clock source.
    pub line: LineSettings,
}

impl SetUp {
    fn timeslots(&self) -> i32 {
        match self.line.framing {
            Framing::D4 | Framing::Esf => 24,
            Framing::Ccs { .. } | Framing::Cas { .. } => 31,
        }
    }

    /// Makes, configures and starts the span: all its channels are clear, but for the D channel.
    pub fn apply(
        &self,
        control: &Control,
        span: i32,
        d_channel: Option<u8>,
        law: ChannelLaw,
    ) -> Result<(), TdmError> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |source| TdmError::Dahdi { what, source }
        };
        if let Some(dynamic) = &self.dynamic {
            let made = match control.create_dynamic_span(dynamic, self.timeslots()) {
                Ok(made) => made,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => span,
                Err(source) => {
                    let what = format!(
                        "a {} span at {} (is dahdi_dynamic_{} loaded?)",
                        dynamic.driver, dynamic.address, dynamic.driver
                    );
                    return Err(TdmError::Dahdi { what, source });
                }
            };
            // 0: it has no number yet.
            if made != 0 && made != span {
                // Its number is another one's in somebody's configuration.
                let _ = control.destroy_dynamic_span(dynamic);
                return Err(TdmError::DahdiSpanNumber { span, made });
            }
        }
        let status = assigned(control, span)?;
        if status.channels < self.timeslots() {
            return Err(TdmError::NoDahdiSpan(span));
        }
        control
            .configure_span(span, &self.line)
            .map_err(failed(&format!("frame format or line code of span {span}")))?;
        for place in control.channels(span) {
            let is_d_channel = Some(place.timeslot) == d_channel;
            let signalling = if is_d_channel { Signalling::HdlcFcs } else { Signalling::Clear };
            control
                .configure_channel(place.channel, signalling, law)
                .map_err(failed(&format!("channel {} of span {span}", place.channel)))?;
        }
        control.start_span(span).map_err(failed(&format!("the start of span {span}")))
    }
}

/// The span's status; spans that have no numbers yet are given some.
fn assigned(control: &Control, span: i32) -> Result<SpanStatus, TdmError> {
    let missing = || TdmError::NoDahdiSpan(span);
    control.span_status(span).or_else(|_| {
        control.assign_spans().map_err(|_| missing())?;
        control.span_status(span).map_err(|_| missing())
    })
}
