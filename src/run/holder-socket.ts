import { chmodSync, mkdtempSync, rmdirSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Names the holder's socket to the child. */
export const SOCKET_VARIABLE = 'MIGRATE_LOCK_SOCKET';

/** What the child may ask of its holder. `inherit` holds the lease's turn for as long as its connection stays open. */
export type HolderRequest =
  { request: 'extend'; ttlMs: number } | { request: 'describe' } | { request: 'inherit' };

export type HolderAnswer =
  | { ok: true; lease: HeldLease }
  /** `code`: what stands in the way. */
  | { ok: false; code: string; message: string };

/** The lease as its holder tells of it to those that run under it. */
export interface HeldLease {
  instanceId: string;
  fencingToken: number;
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
  /** From now on one may ask. */
  listen: () => void;
  close: () => void;
}

/** A request is one short line; who sends more is not one of ours. */
const LONGEST_REQUEST = 10_000;
/** What the kernel takes as the path of a Unix socket, with its closing NUL. */
const LONGEST_PATH = 104;

/**
 * A Unix socket in a folder that only its user may enter: whatever the child wants of its holder it asks the living holder
 * itself, so that the lease's secret never leaves the process. One line of JSON in, one out. Its place is made first, as it is
 * told to the child; to listen takes Node.js a millisecond, and can wait until the child is there.
 */
export function makeHolderSocket(answer: Answering): HolderSocket {
  let folder: string;
  try {
    folder = mkdtempSync(path.join(shortTemporaryFolder(), 'migrate-lock-'));
    chmodSync(folder, 0o700);
  } catch {
    return { path: undefined, listen: () => undefined, close: () => undefined };
  }
  const socketPath = path.join(folder, 's');
  let server: net.Server | undefined;
  return {
    path: socketPath,
    listen: () => (server ??= listen(socketPath, answer)),
    close: () => {
      server?.close();
      remove(folder);
    },
  };
}

/** Closing the socket has removed it: the folder is empty, and to remove one that may not be takes Node.js longer. */
function remove(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {
    rmSync(folder, { recursive: true, force: true });
  }
}

function shortTemporaryFolder(): string {
  const folder = tmpdir();
  return folder.length + '/migrate-lock-XXXXXX/s'.length < LONGEST_PATH ? folder : '/tmp';
}

function listen(socketPath: string, answer: Answering): net.Server {
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
  server.unref();
  // Nobody can ask then, which the child finds out when it tries.
  server.on('error', () => undefined);
  return server.listen(socketPath);
}

function readRequest(text: string): HolderRequest | undefined {
  try {
    const asked = JSON.parse(text) as { request?: unknown; ttlMs?: unknown } | null;
    if (asked?.request === 'describe' || asked?.request === 'inherit') return { request: asked.request };
    if (asked?.request === 'extend' && Number.isSafeInteger(asked.ttlMs) && Number(asked.ttlMs) > 0) {
      return { request: 'extend', ttlMs: Number(asked.ttlMs) };
    }
  } catch {
    // Not one of ours.
  }
  return undefined;
}
