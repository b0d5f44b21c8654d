//! Questions that the topology has for a node: ordinary commands on a link of their own. What they are about is not known here, nor what an answer means.

use redial_resp::{Command, Frame};

use super::context::{Context, Notice};
use super::{Link, Purpose, SubscriptionKind};
use crate::connection::backlog::Owner;
use crate::topology::Question;

/// Questions that wait for a connection, at the most: who asks again and again does not need the old answers.
const MOST_WAITING: usize = 8;

/// What is asked and not answered.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Until there is a connection.
    waiting: Vec<(Question, Command)>,
    /// In flight, the oldest first.
    asked: std::collections::VecDeque<Question>,
}

impl<T: Copy + Default> Link<T> {
    /// Asks the node's server, now or as soon as there is a connection.
    pub(crate) fn ask(&mut self, cx: &mut Context<'_, T>, question: Question, command: Command) {
        if self.is_serving() {
            return self.send_question(cx, question, &command);
        }
        if self.questions.waiting.len() == MOST_WAITING {
            self.questions.waiting.remove(0);
        }
        self.questions.waiting.push((question, command));
    }

    /// Listens to a channel for the topology.
    pub(crate) fn listen(&mut self, cx: &mut Context<'_, T>, channel: &str) {
        self.subscribe(cx, SubscriptionKind::Channel, channel.as_bytes(), true);
    }

    fn send_question(&mut self, cx: &mut Context<'_, T>, question: Question, command: &Command) {
        self.questions.asked.push_back(question);
        self.push_own(cx, Owner::Question, command);
    }

    /// There is a connection.
    pub(super) fn ask_waiting(&mut self, cx: &mut Context<'_, T>) {
        for (question, command) in std::mem::take(&mut self.questions.waiting) {
            self.send_question(cx, question, &command);
        }
        if self.purpose == Purpose::Discovery {
            cx.notices.push(Notice::Listens { node: self.node });
        }
    }

    /// The oldest question is answered.
    pub(super) fn on_question_answered(&mut self, cx: &mut Context<'_, T>, frame: &Frame) {
        if let Some(question) = self.questions.asked.pop_front() {
            let reply = Ok(frame.clone());
            cx.notices.push(Notice::Told { node: self.node, question, reply });
        }
    }

    /// The connection is gone, or a dial has failed: the topology does not wait for what may take long.
    pub(super) fn on_questions_lost(&mut self, cx: &mut Context<'_, T>, text: &str) {
        let waiting = std::mem::take(&mut self.questions.waiting);
        let asked = std::mem::take(&mut self.questions.asked);
        let lost = waiting.into_iter().map(|(question, _)| question).chain(asked);
        cx.notices.extend(lost.map(|question| Notice::Told {
            node: self.node,
            question,
            reply: Err(text.to_owned()),
        }));
    }
}
