// One upload by tus-js-client: node upload.mjs '{"endpoint", "token", "file", "filename", "chunkSize", "parallel", "storage", "stopAt"}'
// Prints one JSON line. With "stopAt" it gives up once so many bytes were acknowledged; run again with the same
// "storage" it resumes.
import fs from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NODE_PATH}/`);
const tus = require("tus-js-client");
const task = JSON.parse(process.argv[2]);

const done = (told) => {
  console.log(JSON.stringify(told));
  process.exit(told.error ? 1 : 0);
};

// A stream cannot be read at several places at once.
const source = task.parallel ? fs.readFileSync(task.file) : fs.createReadStream(task.file);

const upload = new tus.Upload(source, {
  endpoint: task.endpoint,
  headers: { Authorization: `Bearer ${task.token}` },
  uploadSize: task.parallel ? null : fs.statSync(task.file).size,
  chunkSize: task.chunkSize,
  parallelUploads: task.parallel ?? 1,
  uploadDataDuringCreation: task.during ?? false,
  overridePatchMethod: task.override ?? false,
  retryDelays: [50, 200, 1000, 2000, 4000],
  urlStorage: new tus.FileUrlStorage(task.storage),
  fingerprint: async () => `the-file-${task.filename}`,
  metadata: { filename: task.filename, filetype: "application/octet-stream" },
  onError: (error) => done({ error: String(error) }),
  onSuccess: () => done({ url: upload.url }),
  onChunkComplete: (_size, accepted) => {
    if (task.stopAt && accepted >= task.stopAt) {
      upload.abort();
      done({ url: upload.url, accepted });
    }
  },
});

const previous = await upload.findPreviousUploads();
if (previous.length > 0) {
  upload.resumeFromPreviousUpload(previous[0]);
}
upload.start();
