//! One test per scenario and runtime.

/// Makes a test of every scenario on every runtime whose feature is on.
///
/// ```text
/// matrix! {
///     outcomes { a_failed_attempt_is_retried, a_panic_is_a_failure }
///     order { jobs_start_in_push_order }
/// }
/// ```
#[macro_export]
macro_rules! matrix {
    ($($scenarios:tt)*) => {
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_multi, $crate::runtimes::TokioMulti; $($scenarios)* }
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_current, $crate::runtimes::TokioCurrent; $($scenarios)* }
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_local, $crate::runtimes::TokioLocal; $($scenarios)* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_global, $crate::runtimes::SmolGlobal; $($scenarios)* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_own, $crate::runtimes::SmolOwn; $($scenarios)* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_local, $crate::runtimes::SmolLocal; $($scenarios)* }
        #[cfg(feature = "compio")]
        $crate::on_runtime! { compio, $crate::runtimes::Compio; $($scenarios)* }
    };
}

/// The tests of one runtime; called by [`matrix!`].
#[doc(hidden)]
#[macro_export]
macro_rules! on_runtime {
    ($name:ident, $runtime:ty; $($group:ident { $($scenario:ident),* $(,)? })*) => {
        mod $name {
            $(
                mod $group {
                    $(
                        #[test]
                        fn $scenario() {
                            let name = concat!(stringify!($name), "::", stringify!($group), "::", stringify!($scenario));
                            $crate::run::<$runtime, _>(name, $crate::scenarios::$group::$scenario);
                        }
                    )*
                }
            )*
        }
    };
}
