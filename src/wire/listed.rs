//! Enumerations whose variants have names. Each is written once, so that no list of variants can miss one.

/// Declares an enumeration with `ALL` (every variant in order), `index` (its place in `ALL`) and `name`. A variant may
/// have a number, and a sentence, which becomes its `Display`.
///
/// ```text
/// listed! {
///     /// Why.
///     pub enum Reason {
///         /// It closed.
///         Left => "left", "the other side has left";
///     }
/// }
/// ```
macro_rules! listed {
    (
        $(#[$about:meta])*
        pub enum $name:ident {
            $( $(#[$meaning:meta])* $variant:ident $(= $number:literal)? => $text:literal $(, $sentence:literal)?; )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $( $(#[$meaning])* $variant $(= $number)?, )*
        }

        impl $name {
            /// Every variant, in order.
            pub const ALL: [$name; [$($text),*].len()] = [$($name::$variant),*];

            /// Its place in `ALL`.
            #[doc(hidden)]
            pub fn index(self) -> usize {
                /// The variants again, numbered from 0.
                enum Place { $($variant),* }
                match self { $( $name::$variant => Place::$variant as usize, )* }
            }

            /// Its name, as metrics and log lines have it.
            pub fn name(self) -> &'static str {
                match self { $( $name::$variant => $text, )* }
            }
        }

        $crate::wire::listed::listed!(@display $name $( $variant $(, $sentence)?; )*);
    };
    // Every variant has a sentence.
    (@display $name:ident $( $variant:ident, $sentence:literal; )*) => {
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $( $name::$variant => $sentence, )* })
            }
        }
    };
    // None has.
    (@display $name:ident $( $variant:ident; )*) => {};
}
pub(crate) use listed;
