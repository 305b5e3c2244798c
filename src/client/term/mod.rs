//! The terminal: keys, the line that is typed, and what is drawn above it.
//!
//! | module | what it knows |
//! |---|---|
//! | [`keys`] | what a terminal sends |
//! | [`buffer`], [`history`], [`complete`] | the typed text |
//! | [`wrap`], [`width`], [`palette`] | what a line looks like |
//! | [`canvas`] | lines and status that wait to be drawn |
//! | [`prompt`] | the typed text as rows |
//! | [`editor`] | the thread that has the terminal |

pub mod buffer;
pub mod canvas;
pub mod complete;
pub mod editor;
pub mod history;
pub mod keys;
pub mod palette;
pub mod prompt;
pub mod raw;
pub mod width;
pub mod wrap;
