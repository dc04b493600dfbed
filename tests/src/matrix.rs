//! One test per scenario and runtime.

/// Makes a test of every scenario on every runtime whose feature is on. Attributes are for the simulator's test alone: an
/// `ignore` says what it lacks. What follows a `=` says why the scenario is for queues in memory only.
///
/// ```text
/// matrix! {
///     outcomes { a_failed_attempt_is_retried, a_panic_is_a_failure }
///     limits { #[ignore = "needs threads"] the_limit_holds_over_all_threads }
///     shutdown { the_report_adds_up = "a durable store keeps what is not finished" }
/// }
/// ```
#[macro_export]
macro_rules! matrix {
    ($($group:ident { $($(#[$simulated:meta])* $scenario:ident $(= $transient:literal)?),* $(,)? })*) => {
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_multi, $crate::runtimes::TokioMulti; $($group { $($scenario)* })* }
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_current, $crate::runtimes::TokioCurrent; $($group { $($scenario)* })* }
        #[cfg(feature = "tokio")]
        $crate::on_runtime! { tokio_local, $crate::runtimes::TokioLocal; $($group { $($scenario)* })* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_global, $crate::runtimes::SmolGlobal; $($group { $($scenario)* })* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_own, $crate::runtimes::SmolOwn; $($group { $($scenario)* })* }
        #[cfg(feature = "smol")]
        $crate::on_runtime! { smol_local, $crate::runtimes::SmolLocal; $($group { $($scenario)* })* }
        #[cfg(feature = "compio")]
        $crate::on_runtime! { compio, $crate::runtimes::Compio; $($group { $($scenario)* })* }
        #[cfg(feature = "sim")]
        $crate::on_runtime! {
            sim, $crate::runtimes::Simulated; $($group { $($(#[$simulated])* $scenario)* })*
        }
        #[cfg(feature = "sim")]
        $crate::on_runtime! {
            sim_disk, $crate::durable::OnDisk;
            $($group { $($(#[ignore = $transient])? $(#[$simulated])* $scenario)* })*
        }
        #[cfg(all(feature = "sqlite", feature = "tokio"))]
        $crate::on_runtime! {
            tokio_sqlite, $crate::durable::OnSqlite<$crate::runtimes::TokioMulti>;
            $($group { $($(#[ignore = $transient])? $scenario)* })*
        }
        #[cfg(all(feature = "sqlite", feature = "smol"))]
        $crate::on_runtime! {
            smol_sqlite, $crate::durable::OnSqlite<$crate::runtimes::SmolOwn>;
            $($group { $($(#[ignore = $transient])? $scenario)* })*
        }
        #[cfg(all(feature = "sqlite", feature = "compio"))]
        $crate::on_runtime! {
            compio_sqlite, $crate::durable::OnSqlite<$crate::runtimes::Compio>;
            $($group { $($(#[ignore = $transient])? $scenario)* })*
        }
    };
}

/// The tests of one runtime; called by [`matrix!`].
#[doc(hidden)]
#[macro_export]
macro_rules! on_runtime {
    ($name:ident, $runtime:ty; $($group:ident { $($(#[$attribute:meta])* $scenario:ident)* })*) => {
        mod $name {
            $(
                mod $group {
                    $(
                        #[test]
                        $(#[$attribute])*
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
