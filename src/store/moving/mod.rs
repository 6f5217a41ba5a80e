//! Moving a prefix from one layout to another: the keys of an older layout are read, the prefix is claimed for another one, and old
//! keys are removed.
//!
//! `layout_1` reads layout 1 and stands by itself: it names its keys and decodes their values by rules that never change again. `prefix`
//! gives a prefix to a layout, and removes keys. Both speak over a `bare` connection.
//!
//! What must hold: nothing here starts a store. A start claims the prefix, tries every right and needs a master; reading an old layout needs
//! rights to read only, and must work while the prefix belongs to another layout.

mod bare;
pub(super) mod layout_1;
pub(super) mod prefix;
