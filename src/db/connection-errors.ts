import { classify, errorCode, NO_PASSWORD, OPTIONS_REFUSED } from './classify.js';
import type { ConnectionTarget } from './connection.js';
import { isFatal } from './server-error.js';
import { codedError } from './socket.js';

/** The errors of a lost connection. */
const LOST = new Set(['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'EPIPE']);

/** When the other side gave a reason for closing the connection, that reason counts. */
export function closeReason(error: unknown, closeMessage: Error | undefined): unknown {
  if (closeMessage === undefined || !LOST.has(errorCode(error))) return error;
  // For any reason, the connection is lost, and another one can be opened.
  return classify(closeMessage) === 'fault'
    ? codedError(errorCode(error), closeMessage.message, closeMessage)
    : closeMessage;
}

/** As libpq: the error names the password file that the password came from, or should have come from. */
export function withPasswordFile(error: unknown, { passwordFile, password }: ConnectionTarget): unknown {
  const code = errorCode(error);
  if (!(error instanceof Error) || password !== undefined) return error;
  const { path, unusable } = passwordFile ?? { path: '~/.pgpass', unusable: 'HOME is not set' };
  if (code === NO_PASSWORD) {
    const state = unusable === null ? 'has no line for it' : `was not used: ${unusable}`;
    return codedError(code, `${error.message} (the password file ${path} ${state})`, error);
  }
  if (code !== '28P01' || unusable !== null) return error;
  return codedError(code, `${error.message} (the password file ${path} was read)`, error);
}

/** A pooler that accepts none of the settings is tried without them; one that refuses the user's is not. */
export function withRefusedOptions(
  error: unknown,
  { options, optionsFrom = 'options' }: ConnectionTarget,
): unknown {
  if (options === undefined || errorCode(error) !== '08P01' || !isFatal(error)) return error;
  const said = error instanceof Error ? error.message : String(error);
  return codedError(OPTIONS_REFUSED, `a pooler does not take ${optionsFrom}: ${said}`, error);
}
