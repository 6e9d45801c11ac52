//! The films of the matrix: everything people record, how each is made, and what must come of it.
//!
//! All show the same: red, green, blue and grey quarters with a little noise, a white flash and a
//! beep at the first second. So whatever a film went through, its colours, how it stands, and
//! whether sound and picture belong together can be told from what comes out.

/// One film.
pub struct Film {
    /// Its name, ending as its container does.
    pub name: &'static str,
    /// How it is made.
    pub make: Make,
    /// What must come of it.
    pub expect: Expect,
}

/// How a film is made.
pub enum Make {
    /// By the ffmpeg command with these words.
    Command(String),
    /// From another film's bytes.
    From(&'static str, fn(Vec<u8>) -> Vec<u8>),
}

/// What must come of a film.
#[derive(Clone)]
pub struct Expect {
    /// `ready`, or the code of the failure.
    pub end: &'static str,
    /// Size of the upright picture; none for sound.
    pub size: Option<(u64, u64)>,
    /// Degrees that the picture was turned.
    pub rotation: u64,
    /// Length in seconds.
    pub seconds: f64,
    /// By how much the length may differ.
    pub within: f64,
    /// Whether something can be heard.
    pub sound: bool,
    /// Codes of the warnings.
    pub warnings: &'static [&'static str],
    /// The source's own packets are the best quality.
    pub copied: bool,
    /// Where red, green, blue and grey have gone: upper left, upper right, lower left, lower right.
    pub quarters: &'static str,
    /// By how much a colour may differ.
    pub shade: i32,
    /// Second of the flash and of the beep; none if the film has lost them.
    pub flash: Option<f64>,
    /// The first pictures are shown at even distances, so many in a second; 0 unknown.
    pub rate: f64,
    /// What becomes of the packets of its sound, where that is what the film is about.
    pub packets: Option<Packets>,
}

/// What becomes of the packets of a film's sound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Packets {
    /// They are published as they are.
    Taken,
    /// They are decoded, as was clear beforehand.
    Encoded,
    /// They were taken until one showed that they can't be.
    GivenUp,
}

const SIZE: (u64, u64) = (192, 108);

/// A film of two seconds with sound that comes out as it went in.
pub const PLAIN: Expect = Expect {
    end: "ready",
    size: Some(SIZE),
    rotation: 0,
    seconds: 2.0,
    within: 0.1,
    sound: true,
    warnings: &[],
    copied: false,
    quarters: "rgbw",
    shade: 16,
    flash: Some(1.0),
    rate: 25.0,
    packets: None,
};

const COPIED: Expect = Expect { copied: true, ..PLAIN };
/// AVI has no times: what begins later than the rest is a picture late.
const AVI: Expect = Expect { flash: Some(1.04), ..PLAIN };
const SILENT: Expect = Expect { sound: false, ..PLAIN };
const SOUND: Expect = Expect { size: None, rate: 0.0, ..PLAIN };
/// Four seconds of which some are missing at the end; how many depends on where the muxer wrote.
const CUT: Expect =
    Expect { warnings: &["truncated-source"], seconds: 2.0, within: 1.5, rate: 0.0, ..PLAIN };

/// The picture, as the first words of a command.
fn picture(size: &str, rate: &str, seconds: &str) -> String {
    let quarter = |x: &str, y: &str, color: &str| {
        format!("drawbox=x={x}:y={y}:w=iw/2:h=ih/2:c={color}:t=fill")
    };
    format!(
        "-f lavfi -i color=c=0xC03030:s={size}:r={rate}:d={seconds},{},{},{},noise=alls=8:allf=t,\
         drawbox=c=white:t=fill:enable='between(t\\,0.999\\,1.19)'",
        quarter("iw/2", "0", "0x30A030"),
        quarter("0", "ih/2", "0x3030C0"),
        quarter("iw/2", "ih/2", "0xC0C0C0")
    )
}

/// The sound, as further words.
fn beep(seconds: &str) -> String {
    format!("-f lavfi -i aevalsrc=0.5*sin(2*PI*880*t)*between(t\\,1\\,1.2):s=48000:d={seconds}")
}

const X264: &str = "-c:v libx264 -preset ultrafast -threads 1 -pix_fmt yuv420p -g 25 -bf 2";
const AAC: &str = "-c:a aac -b:a 64k";
const X265: &str = "-c:v libx265 -preset ultrafast -g 25 -x265-params log-level=error:pools=1";

/// A film of the usual picture and sound, in these codecs.
fn both(name: &'static str, codecs: &str, expect: Expect) -> Film {
    sized(name, "192x108", codecs, expect)
}

fn sized(name: &'static str, size: &str, codecs: &str, expect: Expect) -> Film {
    let words = format!("{} {} {codecs}", picture(size, "25", "2"), beep("2"));
    Film { name, make: Make::Command(words), expect }
}

/// A film without sound.
fn mute(name: &'static str, codecs: &str, expect: Expect) -> Film {
    let words = format!("{} {codecs}", picture("192x108", "25", "2"));
    Film { name, make: Make::Command(words), expect }
}

/// A film with another number of pictures a second.
fn paced(name: &'static str, rate: &str, codecs: &str, expect: Expect) -> Film {
    let words = format!("{} {} {X264} {AAC} {codecs}", picture("192x108", rate, "2"), beep("2"));
    Film { name, make: Make::Command(words), expect }
}

/// Sound alone.
fn sound(name: &'static str, codecs: &str, expect: Expect) -> Film {
    Film { name, make: Make::Command(format!("{} {codecs}", beep("2"))), expect }
}

fn from(
    name: &'static str,
    other: &'static str,
    change: fn(Vec<u8>) -> Vec<u8>,
    e: Expect,
) -> Film {
    Film { name, make: Make::From(other, change), expect: e }
}

/// Every container with the codecs that are usual in it.
pub fn containers() -> Vec<Film> {
    let h264 = |more: &str| format!("{X264} {AAC} {more}");
    vec![
        both("h264-aac.mp4", &h264(""), COPIED),
        both("h264-faststart.mp4", &h264("-movflags +faststart"), COPIED),
        both("h264-fragmented.mp4", &h264("-movflags frag_keyframe+empty_moov"), COPIED),
        both("h264-one-fragment-each-frame.mp4", &h264("-movflags frag_every_frame"), COPIED),
        both("h264-pcm.mov", &format!("{X264} -c:a pcm_s16le"), COPIED),
        both("h264-aac.mkv", &h264(""), COPIED),
        both("h264-live.mkv", &h264("-live 1"), COPIED),
        both("h264-aac.flv", &h264(""), COPIED),
        both("h264-aac.ts", &h264(""), PLAIN),
        both("h264-bluray.m2ts", &h264("-mpegts_m2ts_mode 1"), PLAIN),
        both("h264-mp3.avi", &format!("{X264} -bf 0 -c:a libmp3lame"), AVI),
        both("h264-ac3.mp4", &format!("{X264} -c:a ac3 -ac 6"), COPIED),
        both("h264-eac3.mkv", &format!("{X264} -c:a eac3"), COPIED),
        both("h264-alac.mov", &format!("{X264} -c:a alac"), COPIED),
        both("h264-flac.mp4", &format!("{X264} -c:a flac -strict -2"), COPIED),
        both("h264-opus.mp4", &format!("{X264} -c:a libopus"), COPIED),
        both("hevc.mp4", &format!("{X265} -pix_fmt yuv420p -tag:v hvc1 {AAC}"), PLAIN),
        both("hevc.ts", &format!("{X265} -pix_fmt yuv420p {AAC}"), PLAIN),
        both("vp8-vorbis.webm", "-c:v libvpx -deadline realtime -cpu-used 8 -c:a libvorbis", PLAIN),
        both(
            "vp8-alpha.webm",
            "-c:v libvpx -deadline realtime -cpu-used 8 -pix_fmt yuva420p \
            -auto-alt-ref 0 -c:a libvorbis",
            PLAIN,
        ),
        both("vp9-opus.webm", VP9_OPUS, PLAIN),
        both("vp9-live.webm", &format!("{VP9_OPUS} -live 1"), PLAIN),
        both("vp9.mp4", &format!("{VP9} {AAC}"), PLAIN),
        both("av1.mp4", &format!("{AV1} {AAC}"), PLAIN),
        both("av1-opus.webm", &format!("{AV1} -c:a libopus"), PLAIN),
        both("mpeg2-mp2.ts", "-c:v mpeg2video -g 12 -b:v 1M -c:a mp2", PLAIN),
        both("mpeg2-ac3.mpg", "-c:v mpeg2video -g 12 -b:v 1M -c:a ac3 -f vob", PLAIN),
        both("mpeg1-mp2.mpg", "-c:v mpeg1video -g 12 -b:v 1M -c:a mp2 -f mpeg", PLAIN),
        both("mpeg4-mp3.avi", "-c:v mpeg4 -g 25 -q:v 4 -c:a libmp3lame", AVI),
        both("mpeg4-xvid.avi", "-c:v mpeg4 -bf 2 -vtag xvid -q:v 4 -c:a ac3", AVI),
        both("mpeg4.mp4", &format!("-c:v mpeg4 -q:v 4 {AAC}"), PLAIN),
        both("mjpeg-pcm.avi", "-c:v mjpeg -q:v 4 -pix_fmt yuvj420p -c:a pcm_u8", PLAIN),
        both("mjpeg-pcm.mov", "-c:v mjpeg -q:v 4 -pix_fmt yuvj422p -c:a pcm_s16be", PLAIN),
        both("prores.mov", "-c:v prores_ks -profile:v 0 -c:a pcm_s24le", PLAIN),
        both(
            "prores-4444.mov",
            "-c:v prores_ks -profile:v 4 -pix_fmt yuva444p10le -c:a pcm_s24be",
            PLAIN,
        ),
        sized(
            "dnxhr.mov",
            "256x144",
            "-c:v dnxhd -vf scale=out_color_matrix=bt709 -profile:v dnxhr_lb -pix_fmt yuv422p -c:a \
            pcm_f32le",
            Expect { size: Some((256, 144)), ..PLAIN },
        ),
        both("theora-vorbis.ogv", "-c:v libtheora -q:v 6 -c:a libvorbis", PLAIN),
        both("sorenson-mp3.flv", "-c:v flv -q:v 4 -c:a libmp3lame -ar 44100", PLAIN),
        sized(
            "h263.3gp",
            "176x144",
            &format!("-c:v h263 -q:v 4 {AAC}"),
            Expect { size: Some((192, 144)), ..PLAIN },
        ),
    ]
}

const VP9: &str = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25";
const VP9_OPUS: &str =
    "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 25 -pix_fmt yuv420p -c:a libopus";
const AV1: &str = "-c:v libaom-av1 -cpu-used 8 -usage realtime -g 25";

/// Sound without pictures.
pub fn sounds() -> Vec<Film> {
    vec![
        sound("pcm-s16.wav", "-c:a pcm_s16le", SOUND),
        sound("pcm-s24-96khz.wav", "-c:a pcm_s24le -ar 96000", SOUND),
        sound("pcm-f32-surround.wav", "-c:a pcm_f32le -ac 6", SOUND),
        sound("pcm-u8-8khz.wav", "-c:a pcm_u8 -ar 8000", SOUND),
        sound("pcm-rf64.wav", "-c:a pcm_s16le -rf64 always", SOUND),
        sound("mulaw.wav", "-c:a pcm_mulaw -ar 8000", SOUND),
        sound("adpcm.wav", "-c:a adpcm_ima_wav", SOUND),
        sound("cbr.mp3", "-c:a libmp3lame -b:a 64k", SOUND),
        sound("vbr-22khz.mp3", "-c:a libmp3lame -q:a 6 -ar 22050", Expect { within: 0.1, ..SOUND }),
        Film {
            name: "cover.mp3",
            make: Make::Command(format!(
                "{} -f lavfi -i color=c=red:s=64x64:d=1 -map 0:a -map 1:v -c:a libmp3lame -c:v mjpeg \
                 -frames:v 1 -disposition:v attached_pic",
                beep("2")
            )),
            expect: SOUND,
        },
        sound("flac.flac", "-c:a flac", SOUND),
        sound("aac.m4a", AAC, SOUND),
        sound("alac.m4a", "-c:a alac", SOUND),
        sound("vorbis.ogg", "-c:a libvorbis", SOUND),
        sound("opus.opus", "-c:a libopus -f ogg", SOUND),
        sound("flac.oga", "-c:a flac -f ogg", SOUND),
        sound("ac3.mka", "-c:a ac3", SOUND),
        sound("voice.webm", "-c:a libopus -live 1", SOUND),
    ]
}

/// Every way to hold a camera, and every shape of picture and pixel.
pub fn shapes() -> Vec<Film> {
    const BASE: &str = "h264-aac.mp4";
    let turned = |rotation, quarters| {
        let size = if rotation % 180 == 90 { (SIZE.1, SIZE.0) } else { SIZE };
        Expect { rotation, quarters, size: Some(size), ..PLAIN }
    };
    let of = |width, height| Expect { size: Some((width, height)), ..PLAIN };
    let stretched = |ratio| format!("{X264} {AAC} -vf setsar={ratio}");
    vec![
        from("turned-0.mp4", BASE, |film| turn(film, [1, 0, 0, 1]), COPIED),
        from("turned-90.mp4", BASE, |film| turn(film, [0, 1, -1, 0]), turned(90, "brwg")),
        from("turned-180.mp4", BASE, |film| turn(film, [-1, 0, 0, -1]), turned(180, "wbgr")),
        from("turned-270.mp4", BASE, |film| turn(film, [0, -1, 1, 0]), turned(270, "gwrb")),
        from("mirrored-0.mp4", BASE, |film| turn(film, [1, 0, 0, -1]), turned(0, "bwrg")),
        from("mirrored-90.mp4", BASE, |film| turn(film, [0, 1, 1, 0]), turned(90, "rbgw")),
        from("mirrored-180.mp4", BASE, |film| turn(film, [-1, 0, 0, 1]), turned(180, "grwb")),
        from("mirrored-270.mp4", BASE, |film| turn(film, [0, -1, -1, 0]), turned(270, "wgbr")),
        from("matrix-of-zeros.mp4", BASE, |film| turn(film, [0, 0, 0, 0]), COPIED),
        both("wide-pixels.mp4", &stretched("4/3"), of(256, 108)),
        from(
            "turned-wide-pixels.mp4",
            "wide-pixels.mp4",
            |film| turn(film, [0, 1, -1, 0]),
            Expect { rotation: 90, quarters: "brwg", ..of(108, 256) },
        ),
        from(
            "mirrored-wide-pixels.mp4",
            "wide-pixels.mp4",
            |film| turn(film, [-1, 0, 0, 1]),
            Expect { rotation: 180, quarters: "grwb", ..of(256, 108) },
        ),
        both("tall-pixels.mkv", &stretched("1/2"), of(96, 108)),
        both("absurd-pixels.mp4", &stretched("1/200"), PLAIN),
        sized(
            "dv-shape.mpg",
            "180x144",
            "-c:v mpeg2video -aspect 16/9 -b:v 1M -c:a mp2 -f vob",
            of(256, 144),
        ),
        both("odd.webm", &format!("-vf scale=191:107,setsar=1 {VP9_OPUS}"), of(191, 107)),
        both(
            "odd.mov",
            "-vf scale=191:107,setsar=1 -c:v mjpeg -pix_fmt yuvj444p -c:a pcm_s16le",
            of(191, 107),
        ),
        both(
            "odd-444.mp4",
            &format!("-vf scale=191:107,setsar=1 {X264} -pix_fmt yuv444p {AAC}"),
            of(191, 107),
        ),
        sized(
            "tower.mp4",
            "64x320",
            &format!("{X264} {AAC}"),
            Expect { copied: true, ..of(64, 320) },
        ),
        sized(
            "strip.mp4",
            "320x32",
            &format!("{X264} {AAC}"),
            Expect { copied: true, ..of(320, 32) },
        ),
        sized("tiny.webm", "16x16", VP9_OPUS, Expect { shade: 40, ..of(16, 16) }),
    ]
}

/// Pictures of two fields each, of which either comes first.
pub fn interlaced() -> Vec<Film> {
    let woven = |order, codec: &str| {
        format!("-vf interlace=scan={order},fieldorder={order} {codec} -flags +ildct+ilme")
    };
    let fields = |name, order, codec, more: &str| {
        let words = woven(order, codec);
        let words = format!("{} {} {words} {more}", picture("192x108", "50", "2"), beep("2"));
        Film { name, make: Make::Command(words), expect: PLAIN }
    };
    vec![
        fields("interlaced-top.ts", "tff", "-c:v mpeg2video -g 12 -b:v 2M -c:a mp2", ""),
        fields("interlaced-bottom.mpg", "bff", "-c:v mpeg2video -g 12 -b:v 2M -c:a mp2", "-f vob"),
        fields(
            "interlaced-top.mp4",
            "tff",
            "-c:v libx264 -preset ultrafast -x264-params tff=1 \
            -pix_fmt yuv420p -g 25",
            AAC,
        ),
        fields(
            "interlaced-bottom.mkv",
            "bff",
            "-c:v libx264 -preset ultrafast -x264-params bff=1 \
            -pix_fmt yuv420p -g 25",
            AAC,
        ),
        fields("interlaced-prores.mov", "tff", "-c:v prores_ks -profile:v 0 -c:a pcm_s16le", ""),
    ]
}

/// Every depth and sampling of colours, and every range.
pub fn colors() -> Vec<Film> {
    let x264 = |format: &str| {
        format!("-c:v libx264 -preset ultrafast -threads 1 -g 25 -pix_fmt {format} {AAC}")
    };
    let x265 = |format: &str| format!("{X265} -pix_fmt {format} {AAC}");
    let tagged = "-color_primaries bt709 -color_trc bt709 -colorspace bt709";
    let full = "-vf scale=out_range=pc:out_color_matrix=bt601 -color_range pc";
    let hdr = |curve: &str, x265: &str, more: &str| {
        let number = if curve == "pq" { "smpte2084" } else { "arib-std-b67" };
        format!(
            "-vf format=gbrp,zscale=tin=709:pin=709:min=gbr:rin=full:t={number}:p=2020:\
             m=2020_ncl:r=limited:npl=203,format=yuv420p10le {X265}{x265} {more} {AAC}"
        )
    };
    let told = |curve| format!(":colorprim=bt2020:transfer={curve}:colormatrix=bt2020nc");
    let pq = |more: &str| hdr("pq", &format!("{}{more}", told("smpte2084")), "");
    // Tone mapping gives the colours of a page back as well as curves can.
    let bright = Expect { shade: 44, ..PLAIN };
    const P3: &str = ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)";
    vec![
        both("h264-10-bit.mp4", &x264("yuv420p10le"), PLAIN),
        both("h264-422.mp4", &x264("yuv422p"), PLAIN),
        both("h264-422-10-bit.mp4", &x264("yuv422p10le"), PLAIN),
        both("h264-444.mp4", &x264("yuv444p"), PLAIN),
        both(
            "h264-rgb.mkv",
            &format!("-c:v libx264rgb -preset ultrafast -pix_fmt rgb24 {AAC}"),
            PLAIN,
        ),
        both("h264-full-range.mp4", &format!("{full} {}", x264("yuvj420p")), COPIED),
        both(
            "h264-tagged.mp4",
            &format!("{} {tagged}", x264("yuv420p")),
            Expect { shade: 30, ..COPIED },
        ),
        both("hevc-10-bit.mkv", &x265("yuv420p10le"), PLAIN),
        both("hevc-422-10-bit.mkv", &x265("yuv422p10le"), PLAIN),
        both("hevc-full-range.mp4", &format!("{full} {}", x265("yuv420p")), PLAIN),
        both("vp9-10-bit.webm", &format!("{VP9} -pix_fmt yuv420p10le -c:a libopus"), PLAIN),
        both("vp9-444.webm", &format!("{VP9} -pix_fmt yuv444p -c:a libopus"), PLAIN),
        both("av1-10-bit.mp4", &format!("{AV1} -pix_fmt yuv420p10le {AAC}"), PLAIN),
        both(
            "prores-422.mov",
            "-c:v prores_ks -profile:v 3 -pix_fmt yuv422p10le -c:a pcm_s16le",
            PLAIN,
        ),
        both("hdr10.mkv", &pq(&format!("{P3}L(10000000,1):max-cll=1000,400")), bright.clone()),
        both("hdr10.mp4", &pq(&format!("{P3}L(10000000,1):max-cll=1000,400")), bright.clone()),
        both("hdr10-no-metadata.mkv", &pq(""), bright.clone()),
        both("hdr10-peak-of-zero.mkv", &pq(&format!("{P3}L(0,0):max-cll=0,0")), bright.clone()),
        both(
            "hdr10-absurd-peak.mkv",
            &pq(&format!("{P3}L(4000000000,1):max-cll=65535,65535")),
            bright.clone(),
        ),
        both(
            "hdr10-black-primaries.mkv",
            &pq(":master-display=G(0,0)B(0,0)R(0,0)WP(0,0)L(10000000,1)"),
            bright.clone(),
        ),
        both("hlg.mp4", &hdr("hlg", &told("arib-std-b67"), ""), bright.clone()),
        both("pq-curve-alone.mkv", &hdr("pq", ":transfer=smpte2084", ""), bright.clone()),
        both(
            "pq-vp9.webm",
            &hdr("pq", "", "")
                .replace(
                    X265,
                    &format!(
                        "{VP9} -color_primaries bt2020 -color_trc smpte2084 -colorspace bt2020nc"
                    ),
                )
                .replace(AAC, "-c:a libopus"),
            bright,
        ),
    ]
}

/// Every odd way in which pictures and sound can lie in time.
pub fn times() -> Vec<Film> {
    const BASE: &str = "h264-aac.mp4";
    let h264 = format!("{X264} {AAC}");
    let apart = |name,
                 picture_at: &str,
                 pictures: &str,
                 sound_at: &str,
                 sounds: &str,
                 beep_at: f64,
                 e: Expect| {
        let words = format!(
            "-itsoffset {picture_at} {} -itsoffset {sound_at} {} {X264} {AAC}",
            picture("192x108", "25", pictures),
            beep(sounds).replace("t\\,1\\,1.2", &format!("t\\,{beep_at}\\,{}", beep_at + 0.2))
        );
        Film { name, make: Make::Command(words), expect: e }
    };
    let uneven = "-vf select='not(mod(n\\,3))+lt(mod(n\\,20)\\,6)' -vsync vfr";
    let at = |rate| Expect { rate, ..COPIED };
    vec![
        both("uneven.mkv", &format!("{uneven} {h264}"), at(0.0)),
        both("uneven.mp4", &format!("{uneven} {h264} -g 250"), at(0.0)),
        both(
            "uneven-hevc.mp4",
            &format!("{uneven} {X265} -pix_fmt yuv420p {AAC}"),
            Expect { rate: 0.0, ..PLAIN },
        ),
        paced("cinema.mp4", "24000/1001", "", at(23.976)),
        paced("phone.mp4", "58", "-c:v mpeg4", Expect { rate: 58.0, ..PLAIN }),
        paced("fast.mp4", "60", "", at(60.0)),
        paced("faster.mp4", "120", "", Expect { rate: 60.0, ..PLAIN }),
        paced("slow.mkv", "5", "", Expect { flash: None, ..at(5.0) }),
        apart("late-sound.mp4", "0", "2", "0.5", "1.5", 0.5, COPIED),
        apart("late-sound.mkv", "0", "2", "0.5", "1.5", 0.5, COPIED),
        apart("early-sound.mkv", "0.4", "2", "0", "2.4", 1.4, Expect { within: 0.45, ..COPIED }),
        apart("longer-sound.mp4", "0", "2", "0", "4", 1.0, Expect { seconds: 4.0, ..PLAIN }),
        apart("longer-pictures.mp4", "0", "4", "0", "2", 1.0, Expect { seconds: 4.0, ..COPIED }),
        mute("silent.mp4", X264, Expect { copied: true, ..SILENT }),
        mute("silent.webm", VP9, SILENT),
        both("starts-at-an-hour.ts", &format!("{h264} -output_ts_offset 3600"), PLAIN),
        both("starts-at-an-hour.mkv", &format!("{h264} -output_ts_offset 3600"), COPIED),
        both("wraps.ts", &format!("{h264} -output_ts_offset 95442.7"), PLAIN),
        both(
            "starts-before-zero.mp4",
            &format!("{h264} -output_ts_offset -0.2 -avoid_negative_ts disabled"),
            Expect { within: 0.25, flash: None, ..PLAIN },
        ),
        Film {
            name: "edited.mp4",
            make: Make::Command(format!("-ss 0.52 -i {{{BASE}}} -c copy")),
            expect: Expect { seconds: 1.48, within: 0.1, flash: Some(0.48), ..PLAIN },
        },
        both("pyramid.mp4", &format!("{h264} -bf 8 -x264-params b-pyramid=normal"), COPIED),
        both("open-group.mkv", &format!("{h264} -x264-params open-gop=1:bframes=3 -g 20"), COPIED),
        both("one-key.mp4", &format!("{h264} -g 250"), COPIED),
        both("keys-alone.mp4", &format!("{h264} -g 1 -bf 0"), COPIED),
        from("no-index.avi", "mpeg4-mp3.avi", |film| cut_at(film, b"idx1"), AVI),
        Film {
            name: "one-picture.mp4",
            make: Make::Command(format!(
                "{} {} -vf select=eq(n\\,0) -vsync vfr {X264} {AAC}",
                picture("192x108", "25", "2"),
                beep("2")
            )),
            expect: SOUND,
        },
        Film {
            name: "one-picture-alone.mp4",
            make: Make::Command(format!("{} -frames:v 1 {X264}", picture("192x108", "25", "2"))),
            expect: Expect { end: "unsupported-media", ..SILENT },
        },
        Film {
            name: "two-pictures.mp4",
            make: Make::Command(format!("{} -frames:v 2 {X264}", picture("192x108", "25", "2"))),
            expect: Expect { seconds: 0.08, flash: None, copied: true, ..SILENT },
        },
    ]
}

/// Films of which the length is what's special.
pub fn lengths() -> Vec<Film> {
    let long = |name, length: &str, more: &str, e: Expect| {
        let words = format!("{} {X264} -g 10 {more}", picture("192x108", "1/30", length));
        Film { name, make: Make::Command(words), expect: e }
    };
    vec![long(
        "a-day.mp4",
        "86370",
        "",
        Expect { seconds: 86370.0, within: 31.0, rate: 0.0, flash: None, ..SILENT },
    )]
}

/// More than one track of a kind, and tracks that are neither pictures nor sound.
pub fn tracks() -> Vec<Film> {
    let two = format!("{} {} {}", picture("192x108", "25", "2"), beep("2"), beep("2"));
    let film = |name, words: String, expect| Film { name, make: Make::Command(words), expect };
    vec![
        film(
            "two-languages.mp4",
            format!(
                "{two} -map 0 -map 1 -map 2 {X264} {AAC} \
            -metadata:s:a:0 language=eng -metadata:s:a:1 language=deu"
            ),
            COPIED,
        ),
        film(
            "surround-beside-stereo.mkv",
            format!(
                "{two} -map 0 -map 1 -map 2 {X264} \
            -c:a:0 aac -c:a:1 ac3 -ac:a:1 6"
            ),
            COPIED,
        ),
        film(
            "two-pictures.mkv",
            format!(
                "{} {} {} -map 0 -map 1 -map 2 {X264} {AAC}",
                picture("96x54", "25", "2"),
                picture("192x108", "25", "2"),
                beep("2")
            ),
            COPIED,
        ),
        film(
            "cover.mp4",
            format!(
                "{} {} -f lavfi -i color=c=red:s=64x64:d=1 -map 0 -map 1 -map 2 \
            {X264} {AAC} -c:v:1 mjpeg -bf:v:1 0 -frames:v:1 1 -disposition:v:1 attached_pic",
                picture("192x108", "25", "2"),
                beep("2")
            ),
            COPIED,
        ),
        both("time-code.mov", &format!("{X264} {AAC} -timecode 01:00:00:00"), COPIED),
        both(
            "unreadable-sound.mkv",
            &format!("{X264} -c:a wavpack"),
            Expect { sound: false, warnings: &["sound-not-read"], ..COPIED },
        ),
        both("speech.wav-in.avi", "-c:v mpeg4 -q:v 4 -c:a adpcm_ms -ar 22050", PLAIN),
    ]
}

/// A film of four seconds, from which those that end early are cut.
pub fn whole() -> Vec<Film> {
    let film = |name, words: &str| {
        let words = format!("{} {} {words}", picture("192x108", "25", "4"), beep("4"));
        Film { name, make: Make::Command(words), expect: Expect { seconds: 4.0, ..PLAIN } }
    };
    let h264 = |more: &str| format!("{X264} {AAC} {more}");
    vec![
        film("whole-faststart.mp4", &h264("-movflags +faststart")),
        film("whole-moov-last.mp4", &h264("")),
        film("whole-fragmented.mp4", &h264("-movflags frag_keyframe+empty_moov")),
        film("whole.mkv", &h264("")),
        film("whole.flv", &h264("")),
        film("whole.ts", &h264("")),
        film("whole.avi", "-c:v mpeg4 -g 25 -q:v 4 -c:a libmp3lame"),
        film("whole.webm", VP9_OPUS),
        film("whole.ogv", "-c:v libtheora -q:v 6 -c:a libvorbis"),
    ]
}

/// Films that end before they should: a broken-off copy, a camera without power.
pub fn cut() -> Vec<Film> {
    let shorter = Expect { warnings: &[], seconds: 2.4, within: 1.0, ..CUT };
    vec![
        from(
            "cut-at-30.mp4",
            "whole-faststart.mp4",
            |f| first(f, 30),
            Expect { flash: None, ..CUT },
        ),
        from("cut-at-60.mp4", "whole-faststart.mp4", |f| first(f, 60), CUT),
        from("cut-at-70.mp4", "whole-faststart.mp4", |f| first(f, 70), CUT),
        from("cut-at-60.mkv", "whole.mkv", |f| first(f, 60), Expect { copied: true, ..CUT }),
        from("cut-at-60.flv", "whole.flv", |f| first(f, 60), Expect { copied: true, ..CUT }),
        from("cut-at-60.avi", "whole.avi", |f| first(f, 60), Expect { flash: Some(1.04), ..CUT }),
        from("cut-at-60.webm", "whole.webm", |f| first(f, 60), CUT),
        from("cut-at-60.ts", "whole.ts", |f| first(f, 60), shorter.clone()),
        from(
            "cut-at-75.ogv",
            "whole.ogv",
            |f| first(f, 75),
            Expect { seconds: 3.0, ..shorter.clone() },
        ),
        from(
            "cut-fragmented.mp4",
            "whole-fragmented.mp4",
            |f| first(f, 60),
            Expect { copied: true, ..shorter },
        ),
        from(
            "headless.mp4",
            "whole-moov-last.mp4",
            |f| first(f, 60),
            Expect { end: "damaged-media", ..PLAIN },
        ),
        from(
            "index-alone.mp4",
            "whole-faststart.mp4",
            |f| cut_at(f, b"mdat"),
            Expect { end: "damaged-media", ..PLAIN },
        ),
    ]
}

/// What hostile files are made from: too large, or in formats that aren't taken.
pub fn material() -> Vec<Film> {
    let refused = || Expect { end: "unsupported-media", ..PLAIN };
    let odd = |name, words: &str| {
        let words = format!("{} {words}", picture("192x108", "25", "1"));
        Film { name, make: Make::Command(words), expect: refused() }
    };
    let huge = |name, words: &str| {
        let words = format!("-f lavfi -i color=black:size=16000x16000:rate=1 -frames:v 1 {words}");
        Film { name, make: Make::Command(words), expect: refused() }
    };
    vec![
        sized("large.ts", "1920x1080", "-c:v mpeg2video -q:v 31 -g 25 -c:a mp2", PLAIN),
        both("mpeg2-32khz.ts", "-c:v mpeg2video -g 12 -b:v 1M -c:a mp2 -ar 32000", PLAIN),
        both(
            "attachment.mkv",
            &format!(
                "{X264} {AAC} -attach Cargo.toml -metadata:s:t \
            mimetype=text/plain"
            ),
            COPIED,
        ),
        huge("huge-h264.mkv", "-c:v libx264 -preset ultrafast -threads 1 -crf 51 -pix_fmt yuv420p"),
        huge("huge-png.mkv", "-c:v png -pix_fmt monob"),
        odd("magicyuv.avi", "-c:v magicyuv"),
        odd("ffv1.mkv", "-c:v ffv1"),
        odd("huffyuv.avi", "-c:v huffyuv"),
        odd("utvideo.avi", "-c:v utvideo"),
        odd("qtrle.mov", "-c:v qtrle"),
        odd("png.mov", "-c:v png"),
        odd("wmv2.avi", "-c:v wmv2"),
        odd("dv.avi", "-vf scale=720:576 -c:v dvvideo -pix_fmt yuv420p"),
        odd("jpeg2000.mov", "-c:v jpeg2000"),
        odd("snow.avi", "-c:v snow -strict -2"),
        odd("cinepak.avi", "-frames:v 5 -c:v cinepak"),
        odd("msmpeg4.avi", "-c:v msmpeg4"),
    ]
}

/// The first part of a film, in hundredths.
pub fn first(film: Vec<u8>, percent: usize) -> Vec<u8> {
    film[..film.len() * percent / 100].to_vec()
}

/// The film up to these bytes.
pub fn cut_at(film: Vec<u8>, word: &[u8]) -> Vec<u8> {
    let at = place(&film, word);
    film[..at].to_vec()
}

/// Where these bytes stand in a film for the first time.
pub fn place(film: &[u8], word: &[u8]) -> usize {
    film.windows(word.len()).position(|it| it == word).expect("it is in there")
}

/// Stereo in AAC of all kinds, of which some can be taken as it is.
pub fn own_sound() -> Vec<Film> {
    use Packets::{Encoded, GivenUp, Taken};
    let with = |packets, expect: Expect| Expect { packets: Some(packets), ..expect };
    let stereo = |more: &str| format!("{X264} {AAC} -ac 2 {more}");
    let short = format!("{} {} {}", picture("192x108", "25", "2"), beep("1.3"), stereo(""));
    vec![
        both("stereo.mp4", &stereo(""), with(Taken, COPIED)),
        both("stereo-44100.mov", &stereo("-ar 44100 -movflags +faststart"), with(Taken, COPIED)),
        both("stereo.mkv", &stereo(""), with(Encoded, COPIED)),
        both("stereo-fragmented.mp4", &stereo("-movflags frag_keyframe"), with(Encoded, COPIED)),
        both(
            "stereo-hevc.mp4",
            &format!("{X265} -pix_fmt yuv420p {AAC} -ac 2"),
            with(Taken, PLAIN),
        ),
        both("one-channel.mp4", &format!("{X264} {AAC}"), with(Encoded, COPIED)),
        both("stereo-24000.mp4", &stereo("-ar 24000"), with(Encoded, COPIED)),
        both(
            "stereo-no-edit-list.mp4",
            &stereo("-use_editlist 0 -avoid_negative_ts make_non_negative -bf 0"),
            Expect { packets: None, ..COPIED },
        ),
        // A doubled rate that the packets don't have.
        from("stereo-sbr-said.mp4", "stereo.mp4", sbr_said, with(Encoded, COPIED)),
        // The second half of the packets has a set-up of its own.
        from("two-setups.mp4", "stereo.mp4", two_setups, with(GivenUp, COPIED)),
        Film {
            name: "stereo-short.mp4",
            make: Make::Command(short),
            expect: with(Encoded, COPIED),
        },
        // Pictures that go on after their track is said to end, as the sound does there.
        from(
            "pictures-go-on.mp4",
            "stereo-short.mp4",
            pictures_said_shorter,
            with(GivenUp, COPIED),
        ),
    ]
}

fn sbr_said(mut film: Vec<u8>) -> Vec<u8> {
    let at = place(&film, &[0x11, 0x90, 0x56, 0xe5, 0x00]);
    film[at + 4] = 0x80;
    film
}

fn two_setups(mut film: Vec<u8>) -> Vec<u8> {
    let number = |film: &[u8], at: usize| {
        film[at..at + 4].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    };
    let sound = place(&film, b"smhd");
    let table = sound + place(&film[sound..], b"stsd");
    let chunks = table + place(&film[table..], b"stsc");
    let count = number(&film, chunks + 8);
    assert!(count > 1, "the sound lies in pieces of several lengths");
    for entry in count / 2..count {
        film[chunks + 12 + entry * 12 + 11] = 2;
    }
    film[table + 11] = 2;
    let setup = table + 12..table - 4 + number(&film, table - 4);
    let (copy, length) = (film[setup.clone()].to_vec(), setup.len());
    for name in [b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"] {
        let at = film[..table + 4].windows(4).rposition(|it| it == name).expect("around it") - 4;
        let size = number(&film, at) + length;
        film[at..at + 4].copy_from_slice(&(size as u32).to_be_bytes());
    }
    film.splice(setup.end..setup.end, copy);
    film
}

/// Has the header of the pictures say that they last 1.3 seconds.
fn pictures_said_shorter(mut film: Vec<u8>) -> Vec<u8> {
    let pictures = place(&film, b"vmhd");
    let header = film[..pictures].windows(4).rposition(|it| it == b"mdhd").expect("before it");
    let ticks = u32::from_be_bytes(film[header + 16..header + 20].try_into().expect("four"));
    film[header + 20..header + 24].copy_from_slice(&(ticks / 10 * 13).to_be_bytes());
    film
}

/// Writes another matrix into the header of the first track of an MP4, the pictures.
fn turn(mut film: Vec<u8>, matrix: [i32; 4]) -> Vec<u8> {
    let at = place(&film, b"tkhd") + 44;
    for (number, value) in [0, 1, 3, 4].into_iter().zip(matrix) {
        let at = at + number * 4;
        film[at..at + 4].copy_from_slice(&(value << 16).to_be_bytes());
    }
    film
}
