import net from 'node:net';
import { MigrateLockError } from '../../errors.js';
import { readAnswer, TRYING } from './holder-answer.js';
import type { HolderAnswer, HolderRequest } from './holder-socket.js';
import { findOwnSocket } from './socket-place.js';

/** Longer than one call of the holder's to the database, and the pause before the next: while it tries, it says so. */
const ANSWER_LIMIT_MS = 15_000;
/** An answer is one short line; who sends more is no holder of ours. */
const LONGEST_ANSWER = 10_000;

export interface AskOptions {
  /** The holder cannot have an answer of the database yet, and goes on trying. */
  onTrying?: (answer: HolderAnswer) => void;
  /** Ends the question. */
  abandoned?: Promise<void>;
}

/**
 * Asks the holder that listens on a socket of our own user. There is no limit for as long as it says that it is still trying.
 * @throws {MigrateLockError} HOLDER_UNREACHABLE: it does not live any more, does not answer, or is another user's.
 */
export function askHolder(
  socketPath: string,
  request: HolderRequest,
  { onTrying = () => undefined, abandoned }: AskOptions = {},
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
    void abandoned?.then(() => fail(new Error('nobody waits for its answer any more')));
  });
}

/** HOLDER_UNREACHABLE. */
export function unreachable(cause: unknown): MigrateLockError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new MigrateLockError(`The holder of the lease cannot be reached: ${why}.`, {
    code: 'HOLDER_UNREACHABLE',
    exit: 'lost',
    hint: 'Do not count on the lease any more: stop, and run the migration again.',
    cause,
  });
}

/**
 * Sends a request and calls `onAnswer` with each answer; who calls it takes care of errors and the end.
 * @throws Error when the socket is not one of our own user.
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
      // The variable that names the socket may be left over, and lead to anything of our user.
      if (answer === undefined) return void socket.destroy(new Error('what answered is no holder'));
      onAnswer(answer);
    }
    if (text.length > LONGEST_ANSWER) socket.destroy(new Error('what answered is no holder'));
  });
  return socket;
}
