import { throughPooler } from '../harness/through-pooler.js';

await throughPooler(() => import('../lock/settings.test.js'));
