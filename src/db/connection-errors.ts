import { classify, errorCode, NO_PASSWORD, OPTIONS_REFUSED } from './classify.js';
import type { ConnectionTarget } from './connection.js';
import { isFatal } from './server-error.js';
import { codedError } from './socket.js';

/** What a lost connection looks like to us. */
const LOST = new Set(['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'EPIPE']);

/** Where a connection was lost and the other side had said why, that is what counts. */
export function asSaid(error: unknown, farewell: Error | undefined): unknown {
  if (farewell === undefined || !LOST.has(errorCode(error))) return error;
  // Whatever it is, the connection is lost, and another one can be had.
  return classify(farewell) === 'fault' ? codedError(errorCode(error), farewell.message, farewell) : farewell;
}

/** As libpq: one has to hear of the password file that the password came from, or should have. */
export function withPassword(error: unknown, { passwordFile, password }: ConnectionTarget): unknown {
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

/** A pooler that takes none of our settings is asked again without; one that refuses what was given is not. */
export function withOptions(error: unknown, { options, optionsFrom = 'options' }: ConnectionTarget): unknown {
  if (options === undefined || errorCode(error) !== '08P01' || !isFatal(error)) return error;
  const said = error instanceof Error ? error.message : String(error);
  return codedError(OPTIONS_REFUSED, `a pooler does not take ${optionsFrom}: ${said}`, error);
}
