import net from 'node:net';
import { MigrateLockError, UsageError } from '../errors.js';
import { readAnswer } from './holder-answer.js';
import { SOCKET_VARIABLE, type HolderAnswer, type HolderRequest } from './holder-socket.js';

/** Longer than the holder waits for the database. */
const ANSWER_LIMIT_MS = 15_000;
/** An answer is one short line; who sends more is no holder of ours. */
const LONGEST_ANSWER = 10_000;

/**
 * Asks the holder under which this process runs.
 * @throws {UsageError} outside of a `migrate-lock run`.
 * @throws {MigrateLockError} HOLDER_UNREACHABLE: it does not live any more, or does not answer.
 */
export function askHolder(env: NodeJS.ProcessEnv, request: HolderRequest): Promise<HolderAnswer> {
  const path = env[SOCKET_VARIABLE];
  if (path === undefined || path === '') {
    throw new UsageError(
      `There is no holder to ask: ${SOCKET_VARIABLE} is not set.`,
      'Use it inside the command of a migrate-lock run, as in: migrate-lock run -- sh -c "migrate-lock extend --ttl 10m; ..."',
    );
  }
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(
        new MigrateLockError(`The holder of the lease cannot be reached: ${why}.`, {
          code: 'HOLDER_UNREACHABLE',
          exit: 'lost',
          hint: 'Do not count on the lease any more: stop, and run the migration again.',
          cause,
        }),
      );
    };
    const timer = setTimeout(() => fail('it did not answer in time'), ANSWER_LIMIT_MS);
    const socket = openToHolder(path, request, (answer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    });
    socket.on('error', (error) => fail(error.message, error));
    socket.on('end', () => fail('it closed the connection'));
  });
}

/** Sends a request and calls `onAnswer` with each answer; who calls it takes care of errors and the end. */
export function openToHolder(
  path: string,
  request: HolderRequest,
  onAnswer: (answer: HolderAnswer) => void,
): net.Socket {
  const socket = net.connect(path, () => socket.write(`${JSON.stringify(request)}\n`));
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const answer = readAnswer(line);
      // The variable that names the socket may be left over, and lead to anybody's.
      if (answer === undefined) return void socket.destroy(new Error('what answered is no holder'));
      onAnswer(answer);
    }
    if (text.length > LONGEST_ANSWER) socket.destroy(new Error('what answered is no holder'));
  });
  return socket;
}
