//! Every scenario on every runtime.

use queue_tests::matrix;

matrix! {
    seed {
        the_first_example_works,
        ids_grow_and_attempts_start_at_zero,
    }
}
