//! Collects what a rule wants done in one visit.

use tillwatch_wit::contract::{
    Action, Cancelled, Cleared, Command, Derived, Finding, Incident, Instant, Told, Updated, Wake,
};

/// What a rule wants done. Actions keep their order.
#[derive(Debug)]
pub struct Out<'a> {
    visit: u32,
    actions: &'a mut Vec<(u32, Action)>,
    pub(crate) wake: Option<Wake>,
    pub(crate) failed: Option<String>,
}

impl<'a> Out<'a> {
    pub(crate) fn new(visit: u32, actions: &'a mut Vec<(u32, Action)>) -> Self {
        Self { visit, actions, wake: None, failed: None }
    }

    fn push(&mut self, action: Action) {
        self.actions.push((self.visit, action));
    }

    /// A finding opens. Raising one that is open is a fault.
    pub fn raise(&mut self, finding: Finding) {
        self.push(Action::Raise(finding));
    }

    /// More is known about an open finding, this rule's or another's.
    pub fn update(&mut self, updated: Updated) {
        self.push(Action::Update(updated));
    }

    /// A finding is over. Clearing one that is not open is a fault.
    pub fn clear(&mut self, cleared: Cleared) {
        self.push(Action::Clear(cleared));
    }

    /// Asks for a command.
    pub fn command(&mut self, command: Command) {
        self.push(Action::Command(command));
    }

    /// Takes a command back.
    pub fn cancel(&mut self, cancelled: Cancelled) {
        self.push(Action::Cancel(cancelled));
    }

    /// An event for other rules of the same terminal.
    pub fn derive(&mut self, derived: Derived) {
        self.push(Action::Derive(derived));
    }

    /// A rule of the second stage knows more about a finding of the first.
    pub fn tell(&mut self, told: Told) {
        self.push(Action::Tell(told));
    }

    /// An incident opens, changes or ends.
    pub fn incident(&mut self, incident: Incident) {
        self.push(Action::Incident(Box::new(incident)));
    }

    /// Asks for a visit when the watermark is strictly past `instant`, in place of any asked for before.
    pub fn wake_at(&mut self, instant: Instant) {
        self.wake = Some(Wake::At(instant));
    }

    /// Asks for no visit any more. Without this or [`Out::wake_at`] a wake-up asked for before stays.
    pub fn sleep(&mut self) {
        self.wake = Some(Wake::Never);
    }

    /// Asks for a visit at the first of these instants, as [`Out::wake_at`] does; where there is none, as [`Out::sleep`].
    pub fn wake_first(&mut self, instants: impl IntoIterator<Item = Option<Instant>>) {
        self.wake = Some(instants.into_iter().flatten().min().map_or(Wake::Never, Wake::At));
    }

    /// Gives the visit up: nothing of it counts, and it goes to the dead letters with this reason.
    pub fn fail(&mut self, reason: impl Into<String>) {
        self.failed = Some(reason.into());
    }
}
