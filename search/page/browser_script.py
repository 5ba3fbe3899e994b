"""What the page does in the browser: one player at a time, pictures of sounds, and the way to new answers."""

# A card's player stands at its moment by the media fragment of its address (`#t=`): no script is needed for that.
SCRIPT = """
(() => {
  let playing = null;
  const hush = (media) => {
    if (playing && playing !== media) playing.pause();
    playing = media;
  };
  // Buttons of a player, and players that are not part of the document, such as that of an uploaded sound.
  document.addEventListener("play", (event) => hush(event.target), true);
  const start = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () { hush(this); return start.call(this); };

  const draw = (player) => {
    const canvas = player.querySelector("canvas"), peaks = player.peaks;
    if (!peaks || !canvas.clientWidth) return;
    const scale = window.devicePixelRatio || 1;
    const width = canvas.width = canvas.clientWidth * scale, height = canvas.height = canvas.clientHeight * scale;
    const pen = canvas.getContext("2d"), step = width / peaks.length;
    pen.fillStyle = getComputedStyle(canvas).color;
    peaks.forEach((peak, place) => {
      const tall = Math.max(scale, peak * height);
      pen.fillRect(place * step, (height - tall) / 2, Math.max(1, step * 0.7), tall);
    });
  };

  const prepare = (player) => {
    const audio = player.querySelector("audio"), wave = player.querySelector(".wave");
    const place = (name, seconds) => wave.querySelector(name).style.left = `${100 * seconds / audio.duration}%`;
    const moment = () => {
      const begin = Number(player.dataset.start), end = Math.min(Number(player.dataset.end), audio.duration);
      place(".moment", begin);
      wave.querySelector(".moment").style.width = `${100 * Math.max(0, end - begin) / audio.duration}%`;
      place(".playhead", audio.currentTime);
    };
    audio.addEventListener("loadedmetadata", moment);
    for (const change of ["timeupdate", "seeked"])
      audio.addEventListener(change, () => place(".playhead", audio.currentTime));
    if (audio.readyState > 0) moment();
    wave.addEventListener("click", (event) => {
      const box = wave.getBoundingClientRect();
      if (audio.duration) audio.currentTime = audio.duration * (event.clientX - box.left) / box.width;
    });
  };

  // A picture is asked for once its card is on screen: the server has to read the sound for it.
  const seen = new IntersectionObserver((entries) => entries.forEach(async ({ isIntersecting, target }) => {
    if (!isIntersecting) return;
    seen.unobserve(target);
    try {
      const reply = await fetch(target.dataset.peaks);
      if (reply.ok) { target.peaks = await reply.json(); draw(target); }
    } catch { /* Without its picture a sound plays all the same. */ }
  }));
  const known = new WeakSet();
  const look = () => document.querySelectorAll(".player").forEach((player) => {
    if (known.has(player)) return;
    known.add(player);
    prepare(player);
    seen.observe(player);
  });
  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
  addEventListener("resize", () => document.querySelectorAll(".player").forEach(draw));
})();
"""
HEAD = f"<script>{SCRIPT}</script>"
TO_THE_ANSWERS = "() => document.getElementById('asked').scrollIntoView({ block: 'start' })"

__all__ = ["HEAD", "TO_THE_ANSWERS"]
