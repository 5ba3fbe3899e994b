// What the page does in the browser: one player at a time, pictures of sounds, keys, files, and the way to new answers.
// A card's player stands at its moment by the media fragment of its address (`#t=`): no script is needed for that.
(() => {
  const auricle = window.auricle = {};
  const all = (find, within = document) => [...within.querySelectorAll(find)];
  const seen = (node) => node && node.offsetParent !== null;

  // ---------------------------------------------------------------------------------------------- players

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

  // ---------------------------------------------------------------------------------------------- pictures

  let spectra = false;
  const waveform = async (player) => {
    if (player.peaks || player.asked) return draw(player);
    player.asked = true;
    const reply = await fetch(player.dataset.peaks);
    if (reply.ok) { player.peaks = await reply.json(); draw(player); }
  };
  const spectrogram = async (player) => {
    if (player.spectrum) return;
    player.spectrum = true;
    const reply = await fetch(player.dataset.spectrogram);
    if (!reply.ok || !player.isConnected) return;
    const picture = document.createElement("img"), highest = document.createElement("span");
    const kilohertz = Number(reply.headers.get("X-Highest-Hz")) / 1000;
    picture.alt = `spectrogram, 0 to ${kilohertz} kHz`;
    picture.onload = () => URL.revokeObjectURL(picture.src);
    picture.src = URL.createObjectURL(await reply.blob());
    highest.className = "highest";
    highest.textContent = `${kilohertz} kHz`;
    player.querySelector(".wave").prepend(picture);
    player.querySelector(".wave").append(highest);
  };
  const onScreen = new WeakSet();
  const picture = async (player) => {
    // Without its picture a sound plays all the same.
    try { await (spectra ? spectrogram(player) : waveform(player)); } catch { /* see above */ }
  };
  // A picture is asked for once its card is on screen: the server has to read the sound for it.
  const looked = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
    if (!isIntersecting) return onScreen.delete(target);
    onScreen.add(target);
    picture(target);
  }));
  auricle.spectrograms = (on) => {
    spectra = on;
    all(".player").forEach((player) => {
      player.querySelector(".wave").classList.toggle("spectrum", on);
      if (onScreen.has(player)) picture(player);
    });
  };
  addEventListener("resize", () => all(".player").forEach(draw));

  // ---------------------------------------------------------------------------------------------- new answers

  const known = new WeakSet();
  const look = () => {
    all(".player").forEach((player) => {
      if (known.has(player)) return;
      known.add(player);
      player.querySelector(".wave").classList.toggle("spectrum", spectra);
      prepare(player);
      looked.observe(player);
    });
    all(".card").forEach((card) => { if (!card.hasAttribute("tabindex")) card.tabIndex = -1; });
    const asked = document.getElementById("asked");
    if (asked && !asked.hasAttribute("aria-live")) asked.setAttribute("aria-live", "polite");
    const keys = document.getElementById("keys-on");
    if (keys && !known.has(keys)) {
      known.add(keys);
      keys.checked = kept("keys") !== "off";
      keys.addEventListener("change", () => keep("keys", keys.checked ? "on" : "off"));
    }
    if (selected && !seen(selected)) select(null);
    // The name of what takes a file is what it says.
    all("button.upload-container[aria-label]").forEach((button) => button.removeAttribute("aria-label"));
  };
  auricle.toTheAnswers = () => {
    select(null);
    document.getElementById("asked").scrollIntoView({ block: "start" });
  };

  // A browser may refuse to keep anything.
  const kept = (name) => { try { return localStorage.getItem(`auricle-${name}`); } catch { return null; } };
  const keep = (name, value) => { try { localStorage.setItem(`auricle-${name}`, value); } catch { /* as said */ } };

  // ---------------------------------------------------------------------------------------------- keys

  let selected = null;
  const cards = () => all(".card").filter((card) => seen(card) && card.querySelector(".hit"));
  const select = (card) => {
    if (selected) { selected.classList.remove("selected"); selected.removeAttribute("aria-current"); }
    selected = card;
    if (!card) return;
    card.classList.add("selected");
    card.setAttribute("aria-current", "true");
    card.focus({ preventScroll: true });
    card.scrollIntoView({ block: "nearest" });
  };
  const step = (by) => {
    const answers = cards(), place = answers.indexOf(selected);
    if (!answers.length) return;
    if (place < 0) return select(answers[by > 0 ? 0 : answers.length - 1]);
    if (place + by >= 0 && place + by < answers.length) return select(answers[place + by]);
    const turn = document.getElementById(by > 0 ? "next" : "previous");
    if (seen(turn)) turn.click();
  };
  const press = (find) => {
    const card = selected || cards()[0], button = card && card.querySelector(find);
    if (!button) return;
    if (card !== selected) select(card);
    button.click();
  };
  // What is to be marked one after another leads to the next one.
  const mark = (find) => {
    press(find);
    if (selected && selected.querySelector(".hit[data-view=unsure]") && selected !== cards().at(-1)) step(1);
  };
  const sound = () => {
    const card = selected || cards()[0], audio = card && card.querySelector("audio");
    if (audio && card !== selected) select(card);
    return audio;
  };
  const toTheQuestion = () => {
    const find = "#ask textarea, #ask input";
    if (!seen(document.querySelector(find))) document.querySelector("button[role=tab]").click();
    setTimeout(() => {
      const box = document.querySelector(find);
      if (box) { box.focus(); box.select(); }
    });
  };
  const back = () => { const button = document.getElementById("back"); if (seen(button)) button.click(); };
  // The view may be drawn only once it is opened, sooner or later by the machine's load.
  const showKeys = (tries = 50) => {
    const list = document.getElementById("keys");
    if (seen(list)) { list.open = true; list.scrollIntoView({ block: "nearest" }); return; }
    if (tries === 50) all("button.label-wrap").find((button) => button.innerText.includes("View"))?.click();
    if (tries) setTimeout(() => showKeys(tries - 1), 100);
  };
  const ACTS = {
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    " ": () => { const audio = sound(); if (audio) audio.paused ? audio.play() : audio.pause(); },
    "0": () => {
      const audio = sound();
      if (audio) audio.currentTime = Number(audio.closest(".player").dataset.start);
    },
    m: () => mark("button.fits"),
    x: () => mark("button.unfit"),
    l: () => press("button.more"),
    r: () => { const button = document.getElementById("refine"); if (seen(button)) button.click(); },
    b: back,
    "/": toTheQuestion,
    "?": () => showKeys(),
  };
  const TYPED = "input:not([type=checkbox]), textarea, select, [contenteditable=true], [role=listbox], [role=option]";
  // Where Space and arrows have a meaning of their own.
  const PRESSED = "button, a, summary, audio, [type=checkbox], [role=tab], [role=slider]";
  document.addEventListener("keydown", (event) => {
    const at = event.target instanceof Element ? event.target : document.body;
    if (event.key === "Escape" && at.matches("#ask textarea, #ask input")) return at.blur();
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (at.closest(TYPED) || kept("keys") === "off") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const act = Object.hasOwn(ACTS, key) ? ACTS[key] : null;
    if (!act || (event.repeat && !key.startsWith("Arrow"))) return;
    if (key === " " && at.closest(PRESSED)) return;
    if (key.startsWith("Arrow") && at.closest("audio, [role=tab], [role=slider]")) return;
    event.preventDefault();
    act();
  });
  document.addEventListener("pointerdown", (event) => {
    const card = event.target instanceof Element ? event.target.closest(".card") : null;
    if (card && selected && card !== selected) select(null);
  });

  // ---------------------------------------------------------------------------------------------- files

  const say = (button, text) => {
    const label = button.dataset.label ||= button.textContent;
    button.textContent = text;
    clearTimeout(button.timer);
    button.timer = setTimeout(() => { button.textContent = label; }, 4000);
  };
  const copy = async (text) => {
    try { return await navigator.clipboard.writeText(text); } catch { /* only pages of this machine may */ }
    const box = document.createElement("textarea");
    box.value = text;
    document.body.append(box);
    box.select();
    const done = document.execCommand("copy");
    box.remove();
    if (!done) throw new Error("the browser does not let the page copy");
  };
  document.addEventListener("click", async (event) => {
    if (event.target instanceof Element && event.target.matches(".to-refine"))
      return document.getElementById("refine").click();
    const button = event.target instanceof Element ? event.target.closest(".actions button") : null;
    if (!button) return;
    try {
      if (button.matches(".copy")) {
        await copy(button.dataset.path);
        say(button, "Copied");
      } else {
        const reply = await fetch(button.dataset.reveal, { method: "POST" });
        say(button, reply.ok ? "Shown" : await reply.text());
      }
    } catch (error) { say(button, String(error.message || error)); }
  });
  // Chromium's browsers fetch what is dropped outside of them; others drop the address.
  document.addEventListener("dragstart", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a.save") : null;
    if (!link || !event.dataTransfer) return;
    event.dataTransfer.setData("DownloadURL", `${link.dataset.type}:${link.download.replaceAll(":", "_")}:${link.href}`);
    event.dataTransfer.effectAllowed = "copy";
  });

  new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
})();
