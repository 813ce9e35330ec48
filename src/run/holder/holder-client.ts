import net from 'node:net';
import { MigrateLockError } from '../../errors.js';
import { readAnswer, TRYING } from './holder-answer.js';
import type { HolderAnswer, HolderRequest } from './holder-socket.js';
import { findOwnSocket } from './socket-place.js';

/** Longer than the holder's call to the database and the pause before the next: the holder answers TRYING in between. */
const ANSWER_LIMIT_MS = 15_000;
/** An answer is one short line. */
const LONGEST_ANSWER = 10_000;

export interface RequestOptions {
  /** The holder has no answer from the database yet, and tries again. */
  onTrying?: (answer: HolderAnswer) => void;
  /** Cancels the request. */
  abandoned?: Promise<void>;
}

/**
 * Sends a request to the holder, over a socket of our own user. There is no time limit as long as it answers TRYING.
 * @throws {MigrateLockError} HOLDER_UNREACHABLE: it has exited, does not answer, or is another user's.
 */
export function sendToHolder(
  socketPath: string,
  request: HolderRequest,
  { onTrying = () => undefined, abandoned }: RequestOptions = {},
): Promise<HolderAnswer> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown): void => {
      clearTimeout(timer);
      socket?.destroy();
      reject(unreachable(cause));
    };
    const timer = setTimeout(() => fail(new Error('it did not answer in time')), ANSWER_LIMIT_MS);
    let socket: net.Socket | undefined;
    try {
      socket = openToHolder(socketPath, request, (answer) => {
        if (!answer.ok && answer.code === TRYING) {
          timer.refresh();
          return onTrying(answer);
        }
        clearTimeout(timer);
        socket?.destroy();
        resolve(answer);
      });
    } catch (error) {
      return fail(error);
    }
    socket.on('error', fail);
    socket.on('end', () => fail(new Error('it closed the connection')));
    void abandoned?.then(() => fail(new Error('the request was cancelled')));
  });
}

/** HOLDER_UNREACHABLE. */
export function unreachable(cause: unknown): MigrateLockError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new MigrateLockError(`The holder of the lease cannot be reached: ${why}.`, {
    code: 'HOLDER_UNREACHABLE',
    exit: 'lost',
    hint: 'Do not rely on the lease: stop, and run the migration again.',
    cause,
  });
}

/**
 * Sends a request and calls `onAnswer` with each answer. The caller handles `error` and `end`.
 * @throws Error when the socket does not belong to our user.
 */
export function openToHolder(
  socketPath: string,
  request: HolderRequest,
  onAnswer: (answer: HolderAnswer) => void,
): net.Socket {
  const socket = net.connect(findOwnSocket(socketPath), () => socket.write(`${JSON.stringify(request)}\n`));
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const answer = readAnswer(line);
      // The variable may be stale, and name another socket of our user.
      if (answer === undefined) return void socket.destroy(new Error('the peer is not a holder'));
      onAnswer(answer);
    }
    if (text.length > LONGEST_ANSWER) socket.destroy(new Error('the peer is not a holder'));
  });
  return socket;
}
