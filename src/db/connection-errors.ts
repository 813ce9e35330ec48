import { classify, errorCode, NO_PASSWORD, OPTIONS_REFUSED } from './classify.js';
import type { ConnectionTarget } from './connect.js';
import { isFatal, type Farewell } from './server-messages.js';
import { codedError } from './socket.js';

/** What a lost connection looks like to us. */
const LOST = new Set(['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'ECONNRESET', 'EPIPE']);

/** Where a connection was lost and the other side had said why, that is what counts. */
export function asSaid(error: unknown, farewell: Farewell | undefined): unknown {
  if (farewell === undefined || !LOST.has(errorCode(error))) return error;
  const said = Object.assign(new Error(farewell.message, { cause: error }), farewell);
  // Whatever it is, the connection is lost, and another one can be had.
  return classify(said) === 'fault' ? codedError(errorCode(error), farewell.message, said) : said;
}

/** As libpq: without a password one has to hear that none was given, and of the file that it came from, or should have. */
export function withPassword(error: unknown, target: ConnectionTarget): unknown {
  const { passwordFile, password, hosts } = target;
  if (errorCode(error) !== '28P01' || !(error instanceof Error) || password !== undefined) return error;
  const { path, unusable } = passwordFile ?? { path: '~/.pgpass', unusable: 'HOME is not set' };
  const isGiven = hosts.some((host) => host.password !== undefined);
  if (isGiven) return codedError('28P01', `${error.message} (the password file ${path} was read)`, error);
  const state = unusable === null ? 'has no line for it' : `was not used: ${unusable}`;
  return codedError(
    NO_PASSWORD,
    `it wants a password, and none was given (the password file ${path} ${state})`,
    error,
  );
}

/** A pooler that takes none of our settings is asked again without; one that refuses what was given is not. */
export function withOptions(error: unknown, { options, optionsFrom = 'options' }: ConnectionTarget): unknown {
  if (options === undefined || errorCode(error) !== '08P01' || !isFatal(error)) return error;
  const said = error instanceof Error ? error.message : String(error);
  return codedError(OPTIONS_REFUSED, `a pooler does not take ${optionsFrom}: ${said}`, error);
}
