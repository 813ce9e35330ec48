import { authenticate, type Credentials } from './authenticate.js';
import { Conversation } from './conversation.js';
import { letterOf, violation } from './message-reader.js';
import { codedError, type HostSocket } from './socket.js';
import { startupMessage } from './startup-messages.js';

export interface SessionRequest extends Credentials {
  database: string;
  /** Session settings; undefined ones are left out. */
  settings: Readonly<Record<string, string | undefined>>;
}

/**
 * Starts a session: the user, the authentication, until the server is ready for the first query.
 * @returns the server's AuthenticationOk, ParameterStatus, BackendKeyData and ReadyForQuery, for the driver.
 * @throws the server's error with its SQLSTATE, AUTHENTICATION_REFUSED, PROTOCOL_VIOLATION, or an error of the network.
 * The socket is destroyed then.
 */
export async function startSession(
  socket: HostSocket,
  request: SessionRequest,
  limitMs: number,
): Promise<Buffer> {
  const { user, database, settings } = request;
  const conversation = new Conversation(socket);
  const timer = setTimeout(() => {
    socket.destroy(codedError('ETIMEDOUT', `the session did not begin within ${Math.round(limitMs)} ms`));
  }, limitMs);
  try {
    conversation.send(startupMessage({ user, database, client_encoding: 'UTF8', ...settings }));
    const answer = [await authenticate(conversation, socket, request)];
    for (;;) {
      const message = await conversation.next();
      const letter = letterOf(message);
      if (!'SKZ'.includes(letter)) throw violation(`message ${JSON.stringify(letter)} in the start-up`);
      answer.push(message);
      if (letter === 'Z') return Buffer.concat(answer);
    }
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
    conversation.leave();
  }
}
