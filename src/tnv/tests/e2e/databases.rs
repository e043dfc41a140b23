//! Real databases and caches: what each of their failures may cost, and what none of them may. Also a database of the
//! older system, served as it is, and what a database asks of accounts.

mod accounts;
mod away;
mod cached;
mod full;
mod galera;
mod ids;
mod older;
mod outages;
mod sentinel;
mod site;
mod traffic;
