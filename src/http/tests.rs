//! The routes together: real rooms in a directory of their own, real sockets, raw requests.

mod accounts;
mod attacks;
mod audit;
mod bounds;
mod callers;
mod cards;
mod document;
mod doors;
mod encrypted;
mod grants;
mod jwt;
mod login;
mod looking;
mod playback;
mod rig;
mod table;
mod tokens;
mod unread;
mod uploading;
mod words;
