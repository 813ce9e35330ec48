/** What postgres.js hangs on an error: the statement and all that was bound to it, the lease's secret too. */
const OF_THE_QUERY = new Set(['query', 'parameters', 'args', 'types']);

/**
 * The same error without them. Usually an inspection does not show these, but error trackers look at everything, and an application
 * may have set `debug`. They cannot be deleted, hence the copy.
 */
export function withoutParameters(error: unknown): unknown {
  if (!(error instanceof Error) || !Object.hasOwn(error, 'args')) return error;
  const copy =
    error.cause === undefined ? new Error(error.message) : new Error(error.message, { cause: error.cause });
  const { stack } = error;
  if (stack !== undefined) copy.stack = stack;
  const told = Object.entries(error).filter(([name]) => !OF_THE_QUERY.has(name) && name !== 'stack');
  return Object.assign(copy, Object.fromEntries(told));
}
