//! The phone's window, as when a browser starts the phone: the question before dialling, the call,
//! why it ended.
//!
//! It runs on the main thread. What it is to show comes from the call's threads by [`Remote`];
//! what the person does goes there as [`Key`]s. It draws by itself, in software, onto X11 (on a
//! Wayland desktop by XWayland).

mod canvas;
mod colours;
mod fonts;
mod screen;

use std::num::NonZeroU32;
use std::rc::Rc;
use std::time::{Duration, Instant};

use softbuffer::{Context, Surface};
use tiny_skia::Pixmap;
use tokio::sync::mpsc;
use winit::application::ApplicationHandler;
use winit::dpi::{LogicalSize, PhysicalPosition};
use winit::event::{ElementState, KeyEvent, MouseButton, StartCause, WindowEvent};
use winit::event_loop::{ActiveEventLoop, ControlFlow, EventLoop, EventLoopProxy};
use winit::keyboard::{Key as Pressed, ModifiersState, NamedKey};
use winit::window::{Window as Frame, WindowAttributes, WindowId};

use crate::callee::Callee;
use crate::configuration::Theme;
use crate::sound::devices::Choice;
use crate::sound::line::Controls;
use crate::state::{CallState, Key};
use crate::words::Language;
use canvas::Canvas;
use colours::Colours;
use fonts::Fonts;
use screen::{HEIGHT, Model, Page, Part, WIDTH};

/// How often timer and meters are drawn during a call.
const REFRESH: Duration = Duration::from_millis(100);
/// For so long a new question takes no answer: a key or click that was meant for the page, when
/// the window came over it, is no yes.
const ANSWER_MIN: Duration = Duration::from_millis(600);
/// What a level keeps from one refresh to the next.
const LEVEL_DECAY: f32 = 0.7;

/// Something to show.
#[derive(Debug)]
pub enum Show {
    /// The question before dialling.
    Question(Callee),
    /// Why a number is not called.
    Refused {
        /// The number, link or file.
        written: String,
        /// The reason.
        why: String,
    },
    /// How far the call is.
    State(CallState),
    /// Why there was no call.
    Failed(String),
    /// Something to know beside the state.
    Note(String),
    /// Mute and levels of the call.
    Controls(Controls),
    /// Microphones and loudspeakers.
    Devices(Choice),
    /// Another number was clicked and waits for the end of the call.
    Waiting,
    /// The phone ends.
    End,
}

/// Shows things in the window from another thread.
#[derive(Clone, Debug)]
pub struct Remote(EventLoopProxy<Show>);

impl Remote {
    /// Shows something. A window that has gone shows nothing.
    pub fn show(&self, show: Show) {
        let _ = self.0.send_event(show);
    }
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// No desktop takes it.
    #[error("no window can be opened ({0}); start the phone in a terminal")]
    Desktop(String),
    /// Nothing to write with.
    #[error(
        "no window: this system has no font; install fonts-dejavu-core, and fonts-noto-cjk for Japanese"
    )]
    Font,
}

/// A window that is not shown yet.
pub struct Window {
    events: EventLoop<Show>,
    fonts: Fonts,
    theme: Theme,
    language: Language,
}

impl Window {
    /// Whether this process was started on a desktop.
    pub fn is_possible() -> bool {
        ["DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
    }

    /// Makes a window; call it on the main thread.
    ///
    /// # Errors
    /// The desktop cannot be reached, or has no font.
    pub fn new(language: Language, theme: Theme) -> Result<Self, WindowError> {
        let events = EventLoop::<Show>::with_user_event()
            .build()
            .map_err(|error| WindowError::Desktop(error.to_string()))?;
        let fonts = Fonts::of_system().ok_or(WindowError::Font)?;
        if language == Language::Japanese && !fonts.has_japanese() {
            tracing::warn!("no font has Japanese letters: install fonts-noto-cjk");
        }
        let language = if fonts.has_japanese() { language } else { Language::English };
        Ok(Self { events, fonts, theme, language })
    }

    /// The language that it can be written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// What other threads show things by.
    pub fn remote(&self) -> Remote {
        Remote(self.events.create_proxy())
    }

    /// Shows the window until [`Show::End`].
    ///
    /// # Errors
    /// The desktop has gone.
    pub fn run(self, keys: mpsc::Sender<Key>) -> Result<(), WindowError> {
        let mut application = Application {
            model: Model::new(self.language),
            fonts: self.fonts,
            theme: self.theme,
            keys,
            controls: None,
            screen: None,
            parts: Vec::new(),
            focus: 0,
            pointer: PhysicalPosition::new(-1.0, -1.0),
            modifiers: ModifiersState::empty(),
            asked_at: Instant::now(),
            failure: None,
        };
        let ran = self.events.run_app(&mut application);
        let failure = application.failure.take().or(ran.err().map(|error| error.to_string()));
        failure.map_or(Ok(()), |why| Err(WindowError::Desktop(why)))
    }
}

/// The window on the desktop.
struct Screen {
    frame: Rc<Frame>,
    surface: Surface<Rc<Frame>, Rc<Frame>>,
}

struct Application {
    model: Model,
    fonts: Fonts,
    theme: Theme,
    keys: mpsc::Sender<Key>,
    controls: Option<Controls>,
    screen: Option<Screen>,
    /// As last drawn.
    parts: Vec<Part>,
    /// The button that the keyboard points at.
    focus: usize,
    pointer: PhysicalPosition<f64>,
    modifiers: ModifiersState,
    /// When the question was asked.
    asked_at: Instant,
    failure: Option<String>,
}

impl ApplicationHandler<Show> for Application {
    fn resumed(&mut self, event_loop: &ActiveEventLoop) {
        if self.screen.is_some() {
            return;
        }
        match open(event_loop) {
            Ok(screen) => {
                screen.frame.request_redraw();
                self.screen = Some(screen);
            }
            Err(why) => {
                self.failure = Some(why);
                event_loop.exit();
            }
        }
    }

    fn new_events(&mut self, _: &ActiveEventLoop, cause: StartCause) {
        if matches!(cause, StartCause::ResumeTimeReached { .. }) {
            self.redraw();
        }
    }

    fn about_to_wait(&mut self, event_loop: &ActiveEventLoop) {
        event_loop.set_control_flow(if self.model.is_live() {
            ControlFlow::WaitUntil(Instant::now() + REFRESH)
        } else {
            ControlFlow::Wait
        });
    }

    fn user_event(&mut self, event_loop: &ActiveEventLoop, show: Show) {
        if let Show::End = show {
            event_loop.exit();
            return;
        }
        self.show(show);
        if let Some(screen) = &self.screen {
            screen.frame.set_title(&self.model.title());
        }
        self.redraw();
    }

    fn window_event(&mut self, _: &ActiveEventLoop, _: WindowId, event: WindowEvent) {
        match event {
            WindowEvent::CloseRequested => self.send(Key::Close),
            WindowEvent::RedrawRequested => self.draw(),
            WindowEvent::Resized(_)
            | WindowEvent::ScaleFactorChanged { .. }
            | WindowEvent::ThemeChanged(_) => self.redraw(),
            WindowEvent::CursorMoved { position, .. } => self.pointer = position,
            WindowEvent::ModifiersChanged(modifiers) => self.modifiers = modifiers.state(),
            WindowEvent::MouseInput {
                state: ElementState::Pressed,
                button: MouseButton::Left,
                ..
            } => self.click(),
            WindowEvent::KeyboardInput { event, is_synthetic: false, .. }
                if event.state == ElementState::Pressed =>
            {
                self.press(&event);
            }
            _ => {}
        }
    }
}

fn open(event_loop: &ActiveEventLoop) -> Result<Screen, String> {
    let size = LogicalSize::new(f64::from(WIDTH), f64::from(HEIGHT));
    let attributes = WindowAttributes::default()
        .with_title("Trunkline")
        .with_inner_size(size)
        .with_min_inner_size(size);
    let frame = event_loop.create_window(attributes).map_err(|error| error.to_string())?;
    let frame = Rc::new(frame);
    let context = Context::new(Rc::clone(&frame)).map_err(|error| error.to_string())?;
    let surface = Surface::new(&context, Rc::clone(&frame)).map_err(|error| error.to_string())?;
    Ok(Screen { frame, surface })
}

impl Application {
    fn show(&mut self, show: Show) {
        let model = &mut self.model;
        match show {
            Show::Question(callee) => {
                model.number.clone_from(&callee.written);
                model.page = Page::Question(callee);
                model.is_another_waiting = false;
                self.asked_at = Instant::now();
                // On "Do not call": a key that was meant for the page calls nobody.
                self.focus = 1;
            }
            Show::Refused { written, why } => {
                model.number = written;
                model.page = Page::Refused(why);
                model.is_another_waiting = false;
                self.focus = 0;
            }
            Show::State(state) => {
                if let CallState::Dialling { written, gateway } = &state {
                    model.number.clone_from(written);
                    model.gateway.clone_from(gateway);
                    model.sent.clear();
                    model.note = None;
                }
                if let CallState::RungBy { from } = &state {
                    model.number.clone_from(from);
                    model.gateway.clear();
                    model.sent.clear();
                    model.note = None;
                    self.asked_at = Instant::now();
                    if let Some(screen) = &self.screen {
                        let attention = winit::window::UserAttentionType::Critical;
                        screen.frame.request_user_attention(Some(attention));
                    }
                } else if state.is_waiting() {
                    model.number.clear();
                }
                // On hanging up, the last button; after the end on closing.
                self.focus = if state.is_live() { usize::MAX } else { 1 };
                model.page = Page::Call(state);
            }
            Show::Failed(why) => {
                model.page = Page::Failed(why);
                self.focus = 1;
            }
            Show::Note(note) => model.note = Some(note),
            Show::Controls(controls) => {
                model.levels = (0.0, 0.0);
                self.controls = Some(controls);
            }
            Show::Devices(choice) => model.devices = choice,
            Show::Waiting => {
                model.is_another_waiting = true;
                if let Some(screen) = &self.screen {
                    screen.frame.request_user_attention(Some(
                        winit::window::UserAttentionType::Informational,
                    ));
                }
            }
            Show::End => {}
        }
    }

    fn redraw(&self) {
        if let Some(screen) = &self.screen {
            screen.frame.request_redraw();
        }
    }

    fn draw(&mut self) {
        if let Some(controls) = &self.controls {
            let (said, heard) = controls.take_peaks();
            let (old_said, old_heard) = self.model.levels;
            self.model.levels = (
                f32::from(said).max(old_said * LEVEL_DECAY),
                f32::from(heard).max(old_heard * LEVEL_DECAY),
            );
            self.model.is_muted = controls.is_muted();
        }
        let Some(screen) = &mut self.screen else { return };
        let size = screen.frame.inner_size();
        let (Some(width), Some(height)) =
            (NonZeroU32::new(size.width), NonZeroU32::new(size.height))
        else {
            return;
        };
        let Some(mut picture) = Pixmap::new(size.width, size.height) else { return };
        let zoom = zoom(size.width, size.height);
        let fonts = &self.fonts;
        // Measured as drawn: advances grow with the size.
        let width_of = |text: &str, size: f32| fonts.width(text, size * zoom) / zoom;
        self.parts = screen::lay_out(&self.model, Instant::now(), &width_of);
        let buttons = buttons(&self.parts).count();
        self.focus = self.focus.min(buttons.saturating_sub(1));
        let colours = Colours::of(self.theme, screen.frame.theme());
        let mut canvas = Canvas::new(&mut picture, fonts, colours, zoom);
        let mut button = 0;
        for part in &self.parts {
            let is_button = matches!(part, Part::Button { .. });
            canvas.draw(part, is_button && button == self.focus);
            button += usize::from(is_button);
        }
        if let Err(error) = present(screen, &picture, width, height) {
            tracing::warn!(%error, "the window could not be drawn");
        }
    }

    fn click(&mut self) {
        let Some(screen) = &self.screen else { return };
        let size = screen.frame.inner_size();
        let zoom = zoom(size.width, size.height);
        let (x, y) = (self.pointer.x as f32 / zoom, self.pointer.y as f32 / zoom);
        let hit = buttons(&self.parts)
            .enumerate()
            .find(|(_, (place, _))| place.has(x, y))
            .map(|(index, (_, does))| (index, does.clone()));
        if let Some((index, does)) = hit {
            self.focus = index;
            self.send(does);
        }
    }

    fn press(&mut self, event: &KeyEvent) {
        let count = buttons(&self.parts).count().max(1);
        match &event.logical_key {
            Pressed::Named(NamedKey::Tab) => {
                let step = if self.modifiers.shift_key() { count - 1 } else { 1 };
                self.focus = (self.focus + step) % count;
                self.redraw();
            }
            Pressed::Named(NamedKey::ArrowDown | NamedKey::ArrowRight) => {
                self.focus = (self.focus + 1) % count;
                self.redraw();
            }
            Pressed::Named(NamedKey::ArrowUp | NamedKey::ArrowLeft) => {
                self.focus = (self.focus + count - 1) % count;
                self.redraw();
            }
            // A key that is held down presses a button once.
            _ if event.repeat => {}
            Pressed::Named(NamedKey::Enter | NamedKey::Space) => {
                let does = buttons(&self.parts).nth(self.focus).map(|(_, does)| does.clone());
                if let Some(does) = does {
                    self.send(does);
                }
            }
            Pressed::Named(NamedKey::Escape) => match self.model.page {
                Page::Question(_) | Page::Call(CallState::RungBy { .. }) => self.send(Key::No),
                Page::Call(ref state) if state.is_live() => self.send(Key::HangUp),
                _ => self.send(Key::Close),
            },
            Pressed::Character(text) => {
                if let Some(key) = text.chars().next().and_then(|letter| self.key(letter)) {
                    self.send(key);
                }
            }
            _ => {}
        }
    }

    /// What a letter asks for on the page that is shown.
    fn key(&self, letter: char) -> Option<Key> {
        match (&self.model.page, letter.to_ascii_lowercase()) {
            (Page::Question(_) | Page::Call(CallState::RungBy { .. }), 'y') => Some(Key::Yes),
            (Page::Question(_) | Page::Call(CallState::RungBy { .. }), 'n') => Some(Key::No),
            (Page::Call(state), letter) if state.is_live() => match letter {
                '0'..='9' | '*' | '#' => Some(Key::Digit(letter)),
                'm' => Some(Key::Mute),
                'h' => Some(Key::HangUp),
                _ => None,
            },
            (Page::Call(_) | Page::Failed(_), 'r') => Some(Key::Again),
            _ => None,
        }
    }

    fn send(&mut self, key: Key) {
        let is_question =
            matches!(self.model.page, Page::Question(_) | Page::Call(CallState::RungBy { .. }));
        let is_answer = is_question && key != Key::Close;
        if is_answer && self.asked_at.elapsed() < ANSWER_MIN {
            return;
        }
        if let Key::Digit(digit) = key {
            // The last ones, as many as there is room for.
            self.model.sent.push(digit);
            let excess = self.model.sent.len().saturating_sub(24);
            self.model.sent.drain(..excess);
        }
        // Never waits: a person's keys are few, and one too many is no loss.
        let _ = self.keys.try_send(key);
        self.redraw();
    }
}

/// Pixels for one unit of the layout: the whole of it fits into the window.
fn zoom(width: u32, height: u32) -> f32 {
    (width as f32 / WIDTH).min(height as f32 / HEIGHT)
}

fn buttons(parts: &[Part]) -> impl Iterator<Item = (&screen::Place, &Key)> {
    parts.iter().filter_map(|part| match part {
        Part::Button { place, does, .. } => Some((place, does)),
        _ => None,
    })
}

fn present(
    screen: &mut Screen,
    picture: &Pixmap,
    width: NonZeroU32,
    height: NonZeroU32,
) -> Result<(), softbuffer::SoftBufferError> {
    screen.surface.resize(width, height)?;
    let mut buffer = screen.surface.buffer_mut()?;
    for (to, from) in buffer.iter_mut().zip(picture.pixels()) {
        *to = u32::from_be_bytes([0, from.red(), from.green(), from.blue()]);
    }
    buffer.present()
}
