// What a program does with a client that was generated from the API's document.

import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

type Problem = components["schemas"]["Problem"];

export interface Told {
  problems: Problem["code"][];
  sha256: string | null | undefined;
}

/** Returns what a good answer says. */
function good<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(error ? `${error.code}: ${error.detail}` : "no answer");
  return data;
}

function refused({ error }: { error?: Problem }): Problem["code"] {
  if (!error) throw new Error("it wasn't refused");
  return error.code;
}

/** Brings a film in parts, waits until it is ready, looks at everything, and deletes it. */
export async function travel(
  baseUrl: string,
  token: string,
  film: Uint8Array,
  fetch: (request: Request) => Promise<Response>,
): Promise<Told> {
  const headers = { Authorization: `Bearer ${token}` };
  const api = createClient<paths>({ baseUrl, headers, fetch });
  const session = good(await api.GET("/api/session"));
  if (session.role !== "admin") throw new Error(`I am ${session.role}`);
  const stranger = { params: { path: { id: "01890000-0000-7000-8000-000000000000" } } };
  const problems = [refused(await api.GET("/api/videos/{id}", stranger))];

  const begun = good(
    await api.POST("/api/videos/upload/initiate", {
      body: {
        filename: "faststart.mp4",
        size: film.length,
        chunkSize: 256 * 1024,
        title: "By a client",
        tags: ["generated"],
        visibility: "private",
      },
    }),
  );
  const { uploadId, videoId, chunkSize, totalChunks } = begun;
  if (!videoId || totalChunks < 2) throw new Error(`${totalChunks} parts of ${videoId}`);
  problems.push(refused(await api.POST("/api/videos/upload/complete", { body: { uploadId } })));
  const parts: components["schemas"]["Part"][] = [];
  for (let index = totalChunks - 1; index >= 0; index--) {
    const bytes = film.slice(index * chunkSize, (index + 1) * chunkSize);
    const put = good(
      await api.PUT("/api/videos/upload/{id}/parts/{index}", {
        params: { path: { id: uploadId, index: String(index) } },
        body: bytes as unknown as string,
        bodySerializer: () => bytes as unknown as BodyInit,
        headers: { "Content-Type": "application/octet-stream" },
      }),
    );
    parts.push({ index: put.index, etag: put.etag });
  }
  const upload = { params: { path: { id: uploadId }, query: { parts: true } } };
  const here = good(await api.GET("/api/videos/upload/{id}", upload));
  if (here.receivedBytes !== film.length || here.missingChunks.length > 0) throw new Error("lost");
  const listed = good(await api.GET("/api/uploads", { params: { query: { state: "partial" } } }));
  if (!listed.items.some((one) => one.uploadId === uploadId)) throw new Error("not listed");
  const sum = Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", new Uint8Array(film))));
  const sha256 = sum.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  good(
    await api.POST("/api/videos/upload/complete", {
      params: { header: { Prefer: "wait=30" } },
      body: { uploadId, parts, sha256 },
    }),
  );

  const video = { params: { path: { id: videoId } } };
  const changed = good(await api.PATCH("/api/videos/{id}", { ...video, body: { title: "Renamed" } }));
  if (changed.title !== "Renamed") throw new Error(changed.title);
  for (;;) {
    const status = good(await api.GET("/api/videos/{id}/processing-status", video));
    if (status.state === "failed") throw new Error("it failed");
    if (status.state === "ready") break;
    await new Promise((tick) => setTimeout(tick, 100));
  }
  const seen = good(await api.GET("/api/videos/{id}", video));
  const found = good(await api.GET("/api/videos", { params: { query: { q: "Renamed" } } }));
  if (found.items.length !== 1) throw new Error(`${found.items.length} found`);
  good(await api.GET("/api/videos/status", { params: { query: { videoIds: videoId } } }));
  good(await api.GET("/api/videos/{id}/preview", video));
  good(await api.GET("/api/videos/{id}/thumbnails", video));
  good(await api.GET("/api/videos/{id}/recommendations", video));

  good(await api.GET("/api/videos/processing/queue-status"));
  const jobs = good(await api.GET("/api/videos/processing/jobs", { params: { query: { limit: 5 } } }));
  if (!jobs.items.some((job) => job.videoId === videoId)) throw new Error("its job isn't listed");
  const server = good(await api.GET("/api/admin/status"));
  if (server.disk.totalBytes <= server.disk.freeBytes) throw new Error("an empty disk");

  await api.DELETE("/api/videos/{id}", video);
  const trashed = good(await api.GET("/api/videos/{id}", video));
  if (!("trash" in trashed && trashed.trash)) throw new Error("it isn't in the trash after its deletion");
  good(await api.POST("/api/videos/{id}/restore", video));
  await api.DELETE("/api/videos/{id}", {
    params: { ...video.params, query: { permanent: true } },
  });
  const gone = await api.GET("/api/videos/{id}", video);
  if (gone.response.status !== 404) throw new Error(`${gone.response.status} after its deletion`);
  await api.DELETE("/files/{id}", {
    params: { path: { id: uploadId }, header: { "Tus-Resumable": "1.0.0" } },
  });
  problems.push(refused(await api.GET("/files/{id}", { params: { path: { id: uploadId } } })));
  return { problems, sha256: "sha256" in seen ? seen.sha256 : undefined };
}
