import { rmdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { findOwnSocket, makeSocketFolder, socketPlaces } from './socket-place.js';

/**
 * What the child may ask of its holder. `inherit` holds the lease's turn for as long as its connection stays open and a process
 * lives that carries the asker's mark.
 */
export type HolderRequest =
  { request: 'extend'; ttlMs: number } | { request: 'describe' } | { request: 'inherit'; mark: string };

export type HolderAnswer =
  | { ok: true; lease: HeldLease }
  /** `code`: what stands in the way. */
  | { ok: false; code: string; message: string };

/** The lease as its holder describes it to those that run under it. */
export interface HeldLease {
  /** The lock: its database schema. */
  schema: string;
  instanceId: string;
  fencingToken: number;
  dbRole: string;
  expiresAt: string;
  /** When its child is asked to end, and when it is killed, from now. */
  termInMs: number;
  killInMs: number;
}

/** Who asks. */
export interface Asker {
  closed: Promise<void>;
  /** Tells more on a connection that stays open. */
  tell: (answer: HolderAnswer) => void;
}

type Answering = (request: HolderRequest, asker: Asker) => Promise<HolderAnswer>;

export interface HolderSocket {
  /** Undefined: there is no place for a socket, and the child cannot ask. */
  path: string | undefined;
  /** Why there is none. */
  problem: string;
  /** Who answers from now on. Until then every request is refused: there is no lease yet. */
  answerWith: (answer: Answering) => void;
  close: () => void;
}

/** A request is one short line; who sends more is not one of ours. */
const LONGEST_REQUEST = 10_000;

/**
 * A Unix socket in a folder that only its user may enter: whatever the child wants of its holder it asks the living holder
 * itself, so that the lease's secret never leaves the process. One line of JSON in, one out. It is made while the database is
 * being asked for the lease. `onFolder` is called as soon as there is something to clear away.
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
      const server = await listen(socketPath, (request, asker) => answer(request, asker));
      findOwnSocket(socketPath); // as those who ask will
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

/** Closing the socket has removed it: the folder is empty, and to remove one that may not be takes Node.js longer. */
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
    const closed = new Promise<void>((over) => socket.once('close', () => over()));
    const tell = (told: HolderAnswer): void => {
      if (socket.writable) socket.write(`${JSON.stringify(told)}\n`);
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
      void answer(request, { closed, tell }).then((told) => {
        tell(told);
        if (request.request !== 'inherit' || !told.ok) socket.end();
      });
    });
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(socketPath, () => {
      server.off('error', reject);
      // Out of descriptors, for example: who asks sees that nobody answers.
      server.on('error', () => undefined);
      server.unref();
      resolve(server);
    });
  });
}

function readRequest(text: string): HolderRequest | undefined {
  try {
    const asked = JSON.parse(text) as { request?: unknown; ttlMs?: unknown; mark?: unknown } | null;
    if (asked?.request === 'describe') return { request: 'describe' };
    if (asked?.request === 'inherit' && typeof asked.mark === 'string' && asked.mark !== '') {
      return { request: 'inherit', mark: asked.mark };
    }
    if (asked?.request === 'extend' && Number.isSafeInteger(asked.ttlMs) && Number(asked.ttlMs) > 0) {
      return { request: 'extend', ttlMs: Number(asked.ttlMs) };
    }
  } catch {
    // Not one of ours.
  }
  return undefined;
}
