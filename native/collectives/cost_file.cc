#include "collectives/cost_file.h"

#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "datapath/error.h"

namespace weft::collectives {
namespace {

constexpr std::string_view kTitle = "weft costs 1";
constexpr double kMost = 10;  // seconds, for anything: more is no measurement

std::size_t figures(std::string_view item) {
    return item == "shm" || item == "udp" || item == "innet" ? 2
           : item == "copy" || item == "reduce"              ? 1
                                                             : 0;
}

std::string path_in_cache() {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    std::array<char, 256> host{};
    if (gethostname(host.data(), host.size() - 1) != 0) {
        return {};
    }
    const std::string file = std::string("/weft/costs-") + host.data();
    if (cache != nullptr && *cache == '/') {
        return cache + file;
    }
    return home != nullptr && *home == '/' ? std::string(home) + "/.cache" + file : std::string();
}

}  // namespace

CostFile CostFile::open() {
    CostFile file;
    const char* given = std::getenv("WEFT_COSTS");
    if (given != nullptr && std::string_view(given) == "default") {
        file.measures_ = false;
        return file;
    }
    file.path_ = given != nullptr && *given != '\0' ? given : path_in_cache();
    std::ifstream stream(file.path_);
    if (!file.path_.empty() && stream) {
        std::ostringstream text;
        text << stream.rdbuf();
        file.parse(text.str());
    }
    return file;
}

std::string CostFile::source() const {
    return values_.empty() ? "built-in figures" : "measured on this host, kept in " + path_;
}

void CostFile::parse(std::string_view text) {
    std::istringstream lines{std::string(text)};
    std::string line;
    for (int number = 1; std::getline(lines, line); ++number) {
        const auto refuse = [&](const std::string& why) {
            throw Error(WEFT_ERR_INVALID, path_ + ":" + std::to_string(number) + ": " + why +
                                              "; delete the file and costs are measured again");
        };
        if (number == 1) {
            if (line != kTitle) {
                refuse("the first line is not \"" + std::string(kTitle) + "\"");
            }
            continue;
        }
        std::istringstream words(line);
        std::string item, word;
        words >> item;
        std::vector<double> values;
        while (words >> word) {
            double value = 0;
            const auto [end, error] =
                std::from_chars(word.data(), word.data() + word.size(), value);
            if (error != std::errc{} || end != word.data() + word.size() ||
                !(value >= 0 && value < kMost)) {
                refuse("\"" + word + "\" is not a number of seconds in [0, 10)");
            }
            values.push_back(value);
        }
        if (figures(item) == 0 || figures(item) != values.size()) {
            refuse("\"" + line +
                   "\" is none of: shm, udp, innet with 2 figures, copy, reduce with 1");
        }
        values_[item] = std::move(values);
    }
}

void CostFile::set(std::string_view item, std::vector<double> values) {
    values_[std::string(item)] = std::move(values);
}

void CostFile::apply(CostModel& model) const {
    for (const auto& [item, value] : values_) {
        if (item == "copy") {
            model.copy_per_byte = value[0];
        } else if (item == "reduce") {
            model.reduce_per_byte = value[0];
        } else if (item == "innet") {
            SwitchCost& cost = model.innet.emplace();
            cost.round_trip = value[0];
            cost.per_packet = value[1];
        } else {
            EdgeCost& edge = item == "shm" ? model.local : model.remote;
            edge.latency = value[0];
            edge.per_byte = value[1];
        }
    }
}

void CostFile::save() const noexcept {
    if (path_.empty()) {
        return;
    }
    try {
        const std::filesystem::path target(path_);
        std::filesystem::create_directories(target.parent_path());
        // Renamed into place, since other jobs may read it at the same time.
        const std::filesystem::path fresh = path_ + "." + std::to_string(getpid());
        {
            std::ofstream stream(fresh);
            stream << kTitle << "\n";
            for (const auto& [item, values] : values_) {
                stream << item;
                for (const double value : values) {
                    std::array<char, 32> digits{};  // as many as it takes to read the same again
                    const auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
                    stream << ' ' << std::string_view(digits.data(), end);
                }
                stream << "\n";
            }
            if (!stream.flush()) {
                std::filesystem::remove(fresh);
                return;
            }
        }
        std::filesystem::rename(fresh, target);
    } catch (const std::exception&) {
        return;  // as promised
    }
}

}  // namespace weft::collectives
