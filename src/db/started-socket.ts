import { Duplex } from 'node:stream';
import { AnswerGuard } from './answer-guard.js';
import { letterOf, MessageReader } from './message-reader.js';
import { errorOf, isFatal } from './server-error.js';
import type { HostSocket } from './socket.js';

/** The number that postgres.js uses for its own sockets. */
const KEEP_ALIVE_MS = 60_000;

/**
 * An open session as a socket for postgres.js, which believes that it starts one: its StartupMessage is answered with
 * the server's stored answer. Everything else passes, from the server in complete messages within the limits.
 */
export class StartedSocket extends Duplex {
  readonly #socket: HostSocket;
  readonly #reader = new MessageReader();
  readonly #guard = new AnswerGuard();
  #answerToStart: Buffer | undefined;
  #closeMessage: Error | undefined;

  constructor(socket: HostSocket, answerToStart: Buffer) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#answerToStart = answerToStart;
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('data', (bytes: Buffer) => this.#take(bytes)).pause();
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  /**
   * The message with which the server or a pooler ended the session: during a statement, the driver reports only that
   * it is closed.
   */
  get closeMessage(): Error | undefined {
    return this.#closeMessage;
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#answerToStart !== undefined) {
      // The driver's StartupMessage, alone: it sends nothing else before the server is ready.
      const answer = this.#answerToStart;
      this.#answerToStart = undefined;
      done();
      // The driver is still inside its write.
      process.nextTick(() => this.push(answer));
      return;
    }
    if (isCopy(bytes)) this.#guard.expectCopy();
    if (this.#socket.write(bytes)) done();
    else this.#socket.once('drain', done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(bytes: Buffer): void {
    try {
      for (const message of this.#reader.read(bytes)) {
        this.#guard.check(message);
        if (letterOf(message) === 'E') this.#keepIfFatal(errorOf(message));
        if (!this.push(message)) this.#socket.pause();
      }
    } catch (error) {
      this.destroy(error as Error);
    }
  }

  #keepIfFatal(error: Error): void {
    if (isFatal(error)) this.#closeMessage = error;
  }
}

/** A simple query, alone: as read-tables.ts sends it. */
function isCopy(bytes: Buffer): boolean {
  return bytes.toString('latin1', 0, 1) === 'Q' && bytes.toString('latin1', 5, 10) === 'COPY ';
}
