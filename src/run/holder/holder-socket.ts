import { rmdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { findOwnSocket, makeSocketFolder, socketPlaces } from './socket-place.js';

/**
 * A request of the child to its holder. `inherit` holds the lease's turn until its connection is closed and no process has
 * the requester's mark any more.
 */
export type HolderRequest =
  { request: 'extend'; ttlMs: number } | { request: 'describe' } | { request: 'inherit'; mark: string };

export type HolderAnswer =
  | { ok: true; lease: HeldLease }
  /** `code`: why the request failed. */
  | { ok: false; code: string; message: string };

/** The lease as its holder describes it to runs under it. */
export interface HeldLease {
  /** The lock: its database schema. */
  schema: string;
  instanceId: string;
  fencingToken: number;
  dbRole: string;
  expiresAt: string;
  /** When its child gets SIGTERM, and SIGKILL, from now. */
  termInMs: number;
  killInMs: number;
  /**
   * How many database sessions its --max-block has cancelled or ended so far, those of runs inside it too. Only the run that has
   * the lease itself tells it, and only with --max-block.
   */
  cuts?: number | undefined;
}

/** The client of a request. */
export interface Requester {
  closed: Promise<void>;
  /** Sends another answer on a connection that stays open. */
  send: (answer: HolderAnswer) => void;
}

type Answering = (request: HolderRequest, requester: Requester) => Promise<HolderAnswer>;

export interface HolderSocket {
  /** Undefined: a socket could not be created, and the child cannot send requests. */
  path: string | undefined;
  /** Why there is none. */
  problem: string;
  /** Sets the function that answers. Before that every request is refused, because there is no lease. */
  answerWith: (answer: Answering) => void;
  close: () => void;
}

/** A request is one short line. */
const LONGEST_REQUEST = 10_000;

/**
 * Opens a Unix socket in a directory that only its user may enter. The child sends its requests to the holder itself, so that
 * the lease's secret never leaves this process: one line of JSON in, one out. `onFolder` is called as soon as the directory
 * exists.
 */
export async function openHolderSocket(
  env: NodeJS.ProcessEnv,
  onFolder: (socketPath: string) => void = () => undefined,
): Promise<HolderSocket> {
  let answer: Answering = () =>
    Promise.resolve({ ok: false, code: 'NO_LEASE', message: 'there is no lease yet' });
  const answerWith = (next: Answering): void => void (answer = next);
  const problems: string[] = [];
  for (const place of socketPlaces(env)) {
    let socketPath: string | undefined;
    try {
      socketPath = makeSocketFolder(place);
      onFolder(socketPath);
      const folder = path.dirname(socketPath);
      const server = await listen(socketPath, (request, requester) => answer(request, requester));
      findOwnSocket(socketPath); // the check that clients make
      const close = (): void => {
        server.close();
        remove(folder);
      };
      return { path: socketPath, problem: '', answerWith, close };
    } catch (error) {
      if (socketPath !== undefined) remove(path.dirname(socketPath));
      problems.push(`${place}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  return { path: undefined, problem: problems.join('; '), answerWith, close: () => undefined };
}

/** The directory is usually empty, because closing the socket removes it, and rmdir is quicker than a recursive removal. */
function remove(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    rmSync(folder, { recursive: true, force: true });
  }
}

function listen(socketPath: string, answer: Answering): Promise<net.Server> {
  const server = net.createServer((socket) => {
    let text = '';
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    const send = (response: HolderAnswer): void => {
      if (socket.writable) socket.write(`${JSON.stringify(response)}\n`);
    };
    socket.setEncoding('utf8');
    socket.unref();
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (text.length > LONGEST_REQUEST) socket.destroy();
      if (!text.includes('\n')) return;
      const request = readRequest(text);
      text = '';
      if (request === undefined) return void socket.destroy();
      void answer(request, { closed, send }).then((response) => {
        send(response);
        if (request.request !== 'inherit' || !response.ok) socket.end();
      });
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.off('error', reject);
      // Out of descriptors, for example: clients get no answer.
      server.on('error', () => undefined);
      server.unref();
      resolve(server);
    });
  });
}

function readRequest(text: string): HolderRequest | undefined {
  try {
    const parsed = JSON.parse(text) as { request?: unknown; ttlMs?: unknown; mark?: unknown } | null;
    if (parsed?.request === 'describe') return { request: 'describe' };
    if (parsed?.request === 'inherit' && typeof parsed.mark === 'string' && parsed.mark !== '') {
      return { request: 'inherit', mark: parsed.mark };
    }
    if (parsed?.request === 'extend' && Number.isSafeInteger(parsed.ttlMs) && Number(parsed.ttlMs) > 0) {
      return { request: 'extend', ttlMs: Number(parsed.ttlMs) };
    }
  } catch {
    // Not a request.
  }
  return undefined;
}
