//! What the handler of a page works on.
use futures_util::future::BoxFuture;

use super::problem::Problem;
use super::shown::Reply;

/// What a handler is working on.
pub(super) type Handled = BoxFuture<'static, Result<Reply, Problem>>;
